package app

import (
	"context"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines"
	"github.com/tocsin/tocsin/pipelines/playbook"
)

// approvals shows what runs of playbooks wait on, takes answers, and shows the runs.
type approvals struct {
	st       *store.Store
	pipeline *pipelines.Pipeline
	changed  func() // looks for messages that do not show what was decided
}

var _ api.Approvals = (*approvals)(nil)

// List shows approvals, newest first.
func (a *approvals) List(ctx context.Context, t hub.TenantID, state hub.ApprovalState, pg page.Request) (api.List[*hub.Approval], error) {
	out := api.List[*hub.Approval]{Data: []*hub.Approval{}}
	before, err := page.Decode("approvals", pg.After)
	if err != nil {
		return out, err
	}
	err = a.st.View(ctx, func(r *store.Reader) (err error) {
		if out.Data, err = r.ListApprovals(t, state, hub.ApprovalID(before), pg.Skip(), pg.Limit+1); err == nil && pg.Page > 0 {
			var n int64
			n, err = r.CountApprovals(t, state)
			out.Total = &n
		}
		return err
	})
	if len(out.Data) > pg.Limit {
		out.Data = out.Data[:pg.Limit]
		out.Next = page.Encode("approvals", string(out.Data[pg.Limit-1].ID))
	}
	return out, err
}

// Approval shows one approval.
func (a *approvals) Approval(ctx context.Context, t hub.TenantID, id hub.ApprovalID) (out *hub.Approval, err error) {
	err = a.st.View(ctx, func(r *store.Reader) (err error) {
		out, err = r.Approval(t, id)
		return err
	})
	return out, err
}

// Answer takes an answer; see [pipelines.Change.Answer]. The entry of one that is
// refused is kept.
func (a *approvals) Answer(ctx context.Context, p hub.Principal, id hub.ApprovalID, d hub.Decision, note string, idem api.Idempotency) (out *hub.Approval, err error) {
	var refused error
	err = a.pipeline.Change(ctx, func(c *pipelines.Change) (err error) {
		tx := c.Tx().(pipelineTx).Tx
		refused = nil
		if err := recall(tx, p.Tenant, idem); err != nil {
			return err
		}
		if out, err = c.Answer(p, id, d, note); pipelines.Refused(err) {
			refused = err
			return nil
		}
		if err != nil {
			return err
		}
		return remember(tx, p.Tenant, idem, out)
	})
	if err == nil && refused == nil {
		a.changed()
		return out, nil
	}
	if err == nil {
		err = refused
	}
	return nil, err
}

// Runs shows runs of playbooks, newest first.
func (a *approvals) Runs(ctx context.Context, t hub.TenantID, pg page.Request) (api.List[*api.PlaybookRun], error) {
	out := api.List[*api.PlaybookRun]{Data: []*api.PlaybookRun{}}
	before, err := page.Decode("playbook-runs", pg.After)
	if err != nil {
		return out, err
	}
	err = a.st.View(ctx, func(r *store.Reader) error {
		rows, err := r.ListRuns(t, hub.RunID(before), pg.Limit+1)
		if err != nil {
			return err
		}
		if len(rows) > pg.Limit {
			rows = rows[:pg.Limit]
			out.Next = page.Encode("playbook-runs", string(rows[pg.Limit-1].ID))
		}
		out.Data = out.Data[:0]
		for i := range rows {
			v, err := runView(r, &rows[i])
			if err != nil {
				return err
			}
			out.Data = append(out.Data, v)
		}
		return nil
	})
	return out, err
}

// Run shows one run.
func (a *approvals) Run(ctx context.Context, t hub.TenantID, id hub.RunID) (out *api.PlaybookRun, err error) {
	err = a.st.View(ctx, func(r *store.Reader) error {
		rec, err := r.Run(t, id)
		if err == nil {
			out, err = runView(r, &rec)
		}
		return err
	})
	return out, err
}

func runView(r *store.Reader, rec *hub.RunRecord) (*api.PlaybookRun, error) {
	run, err := playbook.DecodeRun(rec.Doc)
	if err != nil {
		return nil, err
	}
	v := &api.PlaybookRun{
		ID: run.ID, Playbook: run.Playbook, Version: run.Version, Event: run.Event, Type: run.Type, Subject: run.Subject, Alert: rec.Alert,
		State: run.State, Due: run.Due, StartedAt: run.StartedAt, EndedAt: run.EndedAt, Steps: []api.PlaybookStep{},
	}
	for _, s := range run.Steps {
		v.Steps = append(v.Steps, api.PlaybookStep{ID: s.ID, Status: string(s.Status), At: s.At, Items: s.Items, Output: s.Output, Error: s.Error})
	}
	if run.Asks() == nil {
		return v, nil
	}
	asked, err := r.WaitingApproval(rec.Tenant, rec.ID)
	if asked != nil {
		v.Approval = asked.ID
	}
	return v, err
}
