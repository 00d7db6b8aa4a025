package app

import (
	"context"
	"crypto/subtle"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines"
	"github.com/tocsin/tocsin/pipelines/dedup"
)

// findings takes findings in and shows them.
type findings struct {
	st       *store.Store
	bus      hubBus
	shared   bool // other nodes triage too
	pipeline *pipelines.Pipeline
	waiters  *waiters
	ingest   func(ctx context.Context, source string, r api.IngestRequest) (api.IngestResult, error)
}

var _ api.Findings = (*findings)(nil)

// Accept puts findings on the bus; see api.Findings.
func (f *findings) Accept(ctx context.Context, p hub.Principal, all []*hub.Finding, idem api.Idempotency) error {
	if !p.Can("findings:create") {
		return hub.E(hub.Forbidden, "this needs the permission findings:create")
	}
	msgs, err := f.messages(p, all)
	if err != nil {
		return err
	}
	return f.st.Do(ctx, func(tx *store.Tx) error { return f.accept(tx, p, all, msgs, idem) })
}

// accept is the part of Accept inside the transaction; a connector's pull uses it
// together with its cursor.
func (f *findings) accept(tx *store.Tx, p hub.Principal, all []*hub.Finding, msgs []*message.Message, idem api.Idempotency) error {
	if err := recall(tx, p.Tenant, idem); err != nil {
		return err
	}
	if err := f.bus.PublishTx(tx, bus.TopicFindings, msgs...); err != nil {
		return err
	}
	tx.Audit(acceptEntry(p, all))
	return remember(tx, p.Tenant, idem, all)
}

func acceptEntry(p hub.Principal, all []*hub.Finding) hub.AuditEntry {
	if len(all) == 1 {
		e := hub.Audited(p, "finding.accept", "finding", string(all[0].ID))
		e.ResponseStatus = 202
		e.Details = new(hub.Details).Str("source", all[0].Source).Str("source_id", all[0].SourceID).Value()
		return e
	}
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = string(all[i].ID)
	}
	e := hub.Audited(p, "finding.accept", "finding", "")
	e.ResponseStatus = 202
	e.Details = new(hub.Details).Int("count", int64(len(all))).Strs("ids", ids).Value()
	return e
}

// messages fills in what the senders left open and encodes the findings.
func (f *findings) messages(p hub.Principal, all []*hub.Finding) ([]*message.Message, error) {
	now := hub.Truncate(f.st.Now())
	for _, x := range all {
		complete(x, p, now)
	}
	return f.encode(all)
}

// encode makes the messages of complete findings.
func (f *findings) encode(all []*hub.Finding) ([]*message.Message, error) {
	profiles := f.pipeline.Rules().Profiles
	msgs := make([]*message.Message, len(all))
	for i, x := range all {
		doc, err := json.Marshal(x)
		if err != nil {
			return nil, hub.Wrap(hub.Malformed, err, fmt.Sprintf("finding %d cannot be encoded as JSON", i))
		}
		print := dedup.Fingerprint(profiles.For(x.Source), x)
		msgs[i] = bus.NewMessage(string(x.ID), string(x.Tenant), print.String(), doc)
	}
	return msgs, nil
}

func complete(x *hub.Finding, p hub.Principal, now time.Time) {
	if x.ID == "" {
		x.ID = hub.FindingID(ident.New(hub.PrefixFinding))
	}
	x.Tenant, x.ReceivedAt = p.Tenant, now
	if x.Source == "" {
		x.Source = "api"
	}
	if x.Status == "" {
		x.Status = hub.FindingOpen
	}
	if x.ObservedGiven = !x.ObservedAt.IsZero(); x.ObservedGiven {
		x.ObservedAt = hub.Truncate(x.ObservedAt)
	} else {
		x.ObservedAt = now
	}
}

// recall answers a request whose Idempotency-Key was used before.
func recall(tx *store.Tx, t hub.TenantID, idem api.Idempotency) error {
	if idem.Key == "" {
		return nil
	}
	row, found, err := tx.Idempotent(t, idem.Key)
	if err != nil || !found || tx.Now().Sub(row.At) > idempotencyWindow {
		return err
	}
	if subtle.ConstantTimeCompare(row.Request, idem.Request[:]) != 1 {
		return hub.E(hub.Conflict, "this Idempotency-Key was used for another request; use a new key for a new request")
	}
	return &api.Remembered{Status: row.Status, Body: row.Response}
}

// idempotencyWindow is how long the first answer is given again (contract §2).
const idempotencyWindow = 24 * time.Hour

// remember keeps the answer to a request with an Idempotency-Key.
func remember(tx *store.Tx, t hub.TenantID, idem api.Idempotency, result any) error {
	if idem.Key == "" {
		return nil
	}
	status, body := idem.Answer(result)
	return tx.PutIdempotent(t, idem.Key, store.IdempotencyRow{Request: idem.Request[:], Status: status, Response: body, At: tx.Now()})
}

// Wait waits for the triage of a finding; see api.Findings.
func (f *findings) Wait(ctx context.Context, t hub.TenantID, id hub.FindingID) (hub.Triage, error) {
	done := f.waiters.register(id)
	defer f.waiters.forget(id)
	var found map[hub.FindingID]hub.Triage
	err := f.st.View(ctx, func(r *store.Reader) (err error) {
		found, err = r.Triaged(t, []hub.FindingID{id})
		return err
	})
	if triage, there := found[id]; err != nil || there {
		return triage, err
	}
	var elsewhere <-chan hub.Triage
	if f.shared {
		elsewhere = triagedElsewhere(ctx, f.st, t, id)
	}
	select {
	case triage := <-done:
		return triage, nil
	case triage := <-elsewhere:
		return triage, nil
	case <-ctx.Done():
		return hub.Triage{}, hub.Wrap(hub.Transient, ctx.Err(), "the finding is accepted but not triaged yet; ask for it later by its id")
	}
}

// waiters are the requests that wait for a finding's triage.
type waiters struct {
	n  atomic.Int64 // of all; mostly 0, so that triage need not lock
	mu sync.Mutex   // guards m
	m  map[hub.FindingID]chan hub.Triage
}

func newWaiters() *waiters { return &waiters{m: map[hub.FindingID]chan hub.Triage{}} }

func (w *waiters) register(id hub.FindingID) <-chan hub.Triage {
	w.n.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := make(chan hub.Triage, 1)
	w.m[id] = ch
	return ch
}

func (w *waiters) forget(id hub.FindingID) {
	w.n.Add(-1)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.m, id)
}

// tell is called with every result of triage.
func (w *waiters) tell(all []hub.Triage) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range all {
		if ch := w.m[t.Finding]; ch != nil {
			select {
			case ch <- t:
			default: // told already, by a message that came twice
			}
		}
	}
}

// Ingest hands a push to its source; see api.Findings.
func (f *findings) Ingest(ctx context.Context, source string, r api.IngestRequest) (api.IngestResult, error) {
	return f.ingest(ctx, source, r)
}

// Finding shows one finding, also while it waits for its triage.
func (f *findings) Finding(ctx context.Context, t hub.TenantID, id hub.FindingID) (*api.FindingView, error) {
	var row store.FindingRow
	err := f.st.View(ctx, func(r *store.Reader) (err error) {
		row, err = r.Finding(t, id)
		return err
	})
	if hub.KindOf(err) == hub.NotFound {
		if m, there := f.bus.Pending(ctx, string(t), bus.TopicFindings, string(id)); there {
			return findingView(store.FindingRow{Doc: m.Payload})
		}
	}
	if err != nil {
		return nil, err
	}
	return findingView(row)
}

func findingView(row store.FindingRow) (*api.FindingView, error) {
	x := new(hub.Finding)
	if err := json.Unmarshal(row.Doc, x); err != nil {
		return nil, fmt.Errorf("read stored finding: %w", err)
	}
	v := &api.FindingView{Finding: x, AlertID: row.Triage.Alert, Outcome: row.Triage.Outcome, State: "triaged"}
	if v.Outcome == "" {
		v.State = "accepted"
	}
	return v, nil
}

// List shows triaged findings, newest first.
func (f *findings) List(ctx context.Context, t hub.TenantID, q api.FindingQuery, pg page.Request) (api.List[api.FindingView], error) {
	filter := store.FindingFilter{Severity: q.Severity, Type: q.Type, Source: q.Source, AssetID: q.AssetID, Outcome: q.Outcome}
	out := api.List[api.FindingView]{Data: []api.FindingView{}}
	if q.Alert != "" {
		return f.ofAlert(ctx, t, q.Alert, pg)
	}
	before, err := page.DecodeInt("findings", pg.After)
	if err != nil {
		return out, err
	}
	var rows []store.FindingRow
	err = f.st.View(ctx, func(r *store.Reader) (err error) {
		rows, err = r.ListFindings(t, &filter, before, pg.Skip(), pg.Limit+1)
		if err == nil && pg.Page > 0 {
			var n int64
			n, err = r.CountFindings(t, &filter)
			out.Total = &n
		}
		return err
	})
	if err != nil {
		return out, err
	}
	if len(rows) > pg.Limit {
		rows = rows[:pg.Limit]
		out.Next = page.EncodeInt("findings", rows[pg.Limit-1].N)
	}
	out.Data, err = findingViews(rows)
	return out, err
}

// ofAlert shows the findings that changed an alert, newest first. They are those
// that its timeline names; repeated deliveries are not among them.
func (f *findings) ofAlert(ctx context.Context, t hub.TenantID, alert hub.AlertID, pg page.Request) (api.List[api.FindingView], error) {
	out := api.List[api.FindingView]{Data: []api.FindingView{}}
	before, err := page.DecodeInt("findings-of", pg.After)
	if err != nil {
		return out, err
	}
	err = f.st.View(ctx, func(r *store.Reader) error {
		timeline, err := r.Timeline(t, alert)
		if err != nil {
			return err
		}
		ids := findingsIn(timeline)
		if total := int64(len(ids)); pg.Page > 0 {
			out.Total = &total
		}
		from := min(pg.Skip(), len(ids))
		if before > 0 { // counted from the oldest, so that it stays valid while findings are added
			from = max(len(ids)-int(before), 0)
		}
		end := min(from+pg.Limit, len(ids))
		if end < len(ids) {
			out.Next = page.EncodeInt("findings-of", int64(len(ids)-end))
		}
		rows, err := r.FindingsByID(t, ids[from:end])
		if err == nil {
			out.Data, err = findingViews(rows)
		}
		return err
	})
	return out, err
}

// findingsIn lists the findings that a timeline names, newest first.
func findingsIn(timeline []hub.Change) []hub.FindingID {
	var ids []hub.FindingID
	for i := len(timeline) - 1; i >= 0; i-- {
		all := timeline[i].Findings
		for j := len(all) - 1; j >= 0; j-- {
			ids = append(ids, all[j])
		}
	}
	return ids
}

func findingViews(rows []store.FindingRow) ([]api.FindingView, error) {
	views := make([]api.FindingView, 0, len(rows))
	for _, row := range rows {
		v, err := findingView(row)
		if err != nil {
			return nil, err
		}
		views = append(views, *v)
	}
	return views, nil
}
