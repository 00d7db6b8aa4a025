package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines"
	"github.com/tocsin/tocsin/pipelines/dedup"
)

// maxBulk is how many alerts one bulk action takes, by ids or by filter; it is
// done in transactions of bulkChunk, so that others are not kept waiting.
const (
	maxBulk   = 10000
	bulkChunk = 100
)

// shownFindings is how many findings an alert's page shows.
const shownFindings = 100

// alerts shows alerts and carries out what people do with them.
type alerts struct {
	st       *store.Store
	pipeline *pipelines.Pipeline
	log      *slog.Logger
}

var _ api.Alerts = (*alerts)(nil)

// List shows alerts, the newest change first.
func (a *alerts) List(ctx context.Context, t hub.TenantID, f *hub.AlertFilter, pg page.Request) (api.List[*hub.Alert], error) {
	out := api.List[*hub.Alert]{Data: []*hub.Alert{}}
	before, err := page.DecodeInt("alerts", pg.After)
	if err != nil {
		return out, err
	}
	var rows []store.AlertRow
	err = a.st.View(ctx, func(r *store.Reader) (err error) {
		if rows, err = r.ListAlerts(t, f, before, pg.Skip(), pg.Limit+1); err == nil && pg.Page > 0 {
			out.Total, err = totalAlerts(r, t, f)
		}
		return err
	})
	if len(rows) > pg.Limit {
		rows = rows[:pg.Limit]
		out.Next = page.EncodeInt("alerts", rows[pg.Limit-1].Changed)
	}
	for _, row := range rows {
		out.Data = append(out.Data, row.Alert)
	}
	return out, err
}

func totalAlerts(r *store.Reader, t hub.TenantID, f *hub.AlertFilter) (*int64, error) {
	counts, err := r.CountAlerts(t, f)
	var n int64
	for _, c := range counts {
		n += c
	}
	return &n, err
}

// Count counts alerts by severity.
func (a *alerts) Count(ctx context.Context, t hub.TenantID, f *hub.AlertFilter) (counts map[hub.Severity]int64, err error) {
	err = a.st.View(ctx, func(r *store.Reader) (err error) {
		counts, err = r.CountAlerts(t, f)
		return err
	})
	return counts, err
}

// Alert shows one alert with its history.
func (a *alerts) Alert(ctx context.Context, t hub.TenantID, id hub.AlertID) (*api.AlertView, error) {
	v := &api.AlertView{Timeline: []hub.Change{}, Findings: []api.FindingView{}}
	err := a.st.View(ctx, func(r *store.Reader) (err error) {
		if v.Alert, err = r.Alert(t, id); err != nil {
			return err
		}
		if v.Timeline, err = r.Timeline(t, id); err != nil {
			return err
		}
		node, err := r.NodesByKey(t, []string{hub.NodeKey(v.AssetID)})
		if err != nil {
			return err
		}
		v.AssetNode = node[hub.NodeKey(v.AssetID)]
		ids := findingsIn(v.Timeline)
		rows, err := r.FindingsByID(t, ids[:min(len(ids), shownFindings)])
		if err == nil {
			v.Findings, err = findingViews(rows)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Act changes an alert; see api.Alerts.
func (a *alerts) Act(ctx context.Context, p hub.Principal, id hub.AlertID, action api.AlertAction, ifMatch int64, idem api.Idempotency) (*hub.Alert, error) {
	if !p.Can("alerts:update") {
		return nil, hub.E(hub.Forbidden, "this needs the permission alerts:update")
	}
	var out *hub.Alert
	err := a.pipeline.Change(ctx, func(c *pipelines.Change) (err error) {
		tx := c.Tx().(pipelineTx).Tx
		if err := recall(tx, p.Tenant, idem); err != nil {
			return err
		}
		if out, _, err = c.Act(p, id, dedupAction(action), ifMatch); err != nil {
			return err
		}
		return remember(tx, p.Tenant, idem, out)
	})
	return out, err
}

func dedupAction(a api.AlertAction) dedup.Action {
	return dedup.Action{
		Kind: dedup.ActionKind(a.Kind), Status: a.Status, Assignee: a.Assignee, Severity: a.Severity, Note: a.Note, Labels: a.Labels,
	}
}

// Bulk acts on many alerts, each by itself: one that refuses does not stop the
// others.
func (a *alerts) Bulk(ctx context.Context, p hub.Principal, b api.BulkAction, idem api.Idempotency) (api.BulkResult, error) {
	out := api.BulkResult{Failed: []api.Failed{}}
	if !p.Can("alerts:update") {
		return out, hub.E(hub.Forbidden, "this needs the permission alerts:update")
	}
	ids, err := a.bulkIDs(ctx, p.Tenant, b)
	if err != nil {
		return out, err
	}
	if err := a.st.Do(ctx, func(tx *store.Tx) error { return recall(tx, p.Tenant, idem) }); err != nil {
		return out, err
	}
	for chunk := range slices.Chunk(ids, bulkChunk) {
		part, err := a.bulkPart(ctx, p, dedupAction(b.Action), chunk)
		if err != nil {
			return out, err
		}
		out.Changed += part.Changed
		out.Unchanged += part.Unchanged
		out.Failed = append(out.Failed, part.Failed...)
	}
	return out, a.st.Do(ctx, func(tx *store.Tx) error { return remember(tx, p.Tenant, idem, out) })
}

// bulkPart acts on some alerts in one transaction.
func (a *alerts) bulkPart(ctx context.Context, p hub.Principal, action dedup.Action, ids []hub.AlertID) (out api.BulkResult, err error) {
	err = a.pipeline.Change(ctx, func(c *pipelines.Change) error {
		out = api.BulkResult{}
		for _, id := range ids {
			_, changed, err := c.Act(p, id, action, 0)
			switch kind := hub.KindOf(err); {
			case kind == hub.NotFound, kind == hub.Conflict, kind == hub.Invalid:
				out.Failed = append(out.Failed, api.Failed{ID: id, Error: err.Error()})
			case err != nil:
				return err
			case changed:
				out.Changed++
			default:
				out.Unchanged++
			}
		}
		return nil
	})
	return out, err
}

func (a *alerts) bulkIDs(ctx context.Context, t hub.TenantID, b api.BulkAction) ([]hub.AlertID, error) {
	ids := b.IDs
	if b.Filter != nil {
		err := a.st.View(ctx, func(r *store.Reader) error {
			rows, err := r.ListAlerts(t, b.Filter, 0, 0, maxBulk+1)
			for _, row := range rows {
				ids = append(ids, row.ID)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(ids) > maxBulk {
		return nil, hub.E(hub.Invalid, fmt.Sprintf("a bulk action takes at most %d alerts; narrow the filter", maxBulk))
	}
	return ids, nil
}
