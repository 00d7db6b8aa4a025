package app

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/store"
)

// cursors is the connectors' store: findings go on the bus, and reports into the
// inventory, in the transaction that moves the cursor.
type cursors struct {
	st       *store.Store
	findings *findings
	cluster  *cluster
}

var _ connectors.Store = (*cursors)(nil)

// Cursor gives what Commit stored last.
func (c *cursors) Cursor(ctx context.Context, t hub.TenantID, name string) (cursor []byte, err error) {
	err = c.st.View(ctx, func(r *store.Reader) error {
		row, err := r.Connector(t, name)
		cursor = row.Cursor
		return err
	})
	if len(cursor) == 0 {
		cursor = nil
	}
	return cursor, err
}

// Commit accepts a page and moves the cursor.
func (c *cursors) Commit(ctx context.Context, t hub.TenantID, name string, page connectors.Page, cursor []byte) error {
	p := hub.Principal{Tenant: t, Type: hub.ActorSource, ID: name, Permissions: []string{"findings:create"}}
	all := page.Findings
	own := make([]*hub.Finding, len(all))
	for i := range all {
		x := all[i]
		own[i] = &x
	}
	msgs, err := c.findings.encode(own)
	if err != nil {
		return err
	}
	inv, err := reported(t, name, page, c.st.Now())
	if err != nil {
		return err
	}
	return c.st.Do(ctx, func(tx *store.Tx) error {
		if err := tx.KeepRejected(t, name, rejected(page.Rejects)); err != nil {
			return err
		}
		if inv != nil {
			if err := putInventory(tx, p, inv); err != nil {
				return err
			}
		}
		return c.commit(tx, p, own, msgs, cursor)
	})
}

// rejected are rejected items as they are kept.
func rejected(all []connectors.Reject) []store.Rejected {
	out := make([]store.Rejected, len(all))
	for i, r := range all {
		out[i] = store.Rejected{Index: r.Index, Error: r.Error, Item: string(r.Item)}
	}
	return out
}

func (c *cursors) commit(tx *store.Tx, p hub.Principal, own []*hub.Finding, msgs []*message.Message, cursor []byte) error {
	if len(own) > 0 {
		if err := c.findings.accept(tx, p, own, msgs, api.Idempotency{}); err != nil {
			return err
		}
	}
	if cursor == nil {
		return nil
	}
	row, err := tx.Connector(p.Tenant, p.ID)
	if err != nil {
		return err
	}
	if err := c.cluster.fence(tx, connectorLease(p.Tenant, p.ID)); err != nil {
		return err
	}
	row.Cursor, row.At = cursor, tx.Now()
	return tx.PutConnector(p.Tenant, p.ID, row)
}

// connectorLease is the lease of who pulls a connector.
func connectorLease(t hub.TenantID, name string) string {
	return "connector/" + string(t) + "/" + name
}

// alone has each connector pulled by one node at a time; nil if there is one only.
func (a *App) alone() func(ctx context.Context, t hub.TenantID, name string, run func(context.Context)) {
	if a.cluster.alone() {
		return nil
	}
	return func(ctx context.Context, t hub.TenantID, name string, run func(context.Context)) {
		a.cluster.once(ctx, connectorLease(t, name), run)
	}
}

// sources shows the connectors and takes what they are sent.
type sources struct {
	fleet   *connectors.Fleet
	st      *store.Store
	cluster *cluster

	looking sync.Mutex       // one at a time, so that an older look cannot win
	asked   map[string]asked // as of the last look, by lease
}

var _ api.Connectors = (*sources)(nil)

// List shows every connector.
func (s *sources) List(_ context.Context, t hub.TenantID) ([]api.ConnectorState, error) {
	all := []api.ConnectorState{}
	for _, st := range s.fleet.List(t) {
		all = append(all, connectorView(st))
	}
	return all, nil
}

func connectorView(s connectors.State) api.ConnectorState {
	v := api.ConnectorState{
		Name: s.Name, Kind: s.Kind, State: string(s.Phase), Pulls: s.Pulls, Receives: s.Receives, Listens: s.Listens, Mirrors: s.Mirrors,
		ListensOn: s.Places, Interval: s.Interval, Cursor: s.Cursor,
		LastSuccess: s.LastSuccess, LastAttempt: s.LastAttempt, NextAttempt: s.NextAttempt, Lag: s.Lag, Failures: s.Failures, Report: s.Report,
		Counts: map[string]int64{
			"pulls": s.Counts.Pulls, "errors": s.Counts.Errors, "findings_pulled": s.Counts.Pulled,
			"findings_received": s.Counts.Received, "rejected": s.Counts.Rejected, "throttled": s.Counts.Throttled,
		},
	}
	if f := s.LastError; f != nil {
		v.LastError = &api.ConnectorFault{At: f.At, Error: f.Message, Advice: f.Advice}
	}
	return v
}

// Rejected shows the items of a source that could not be used.
func (s *sources) Rejected(ctx context.Context, t hub.TenantID, name string) ([]api.RejectedItem, error) {
	if _, err := s.fleet.State(t, name); err != nil {
		return nil, err
	}
	var kept []store.Rejected
	err := s.st.View(ctx, func(r *store.Reader) (err error) {
		kept, err = r.Rejected(t, name)
		return err
	})
	out := make([]api.RejectedItem, len(kept))
	for i, x := range kept {
		out[i] = api.RejectedItem{Number: x.N, At: x.At, Index: x.Index, Error: x.Error, Item: x.Item, Bytes: x.Bytes}
	}
	return out, err
}

// Do is sync, pause, resume or test.
func (s *sources) Do(ctx context.Context, p hub.Principal, name, action string) (api.ConnectorState, error) {
	if !p.Can("connectors:update") {
		return api.ConnectorState{}, hub.E(hub.Forbidden, "this needs the permission connectors:update")
	}
	if _, err := s.fleet.State(p.Tenant, name); err != nil {
		return api.ConnectorState{}, err
	}
	e := hub.Audited(p, "connector."+action, "connector", name)
	if err := s.st.Do(ctx, func(tx *store.Tx) error { tx.Audit(e); return s.setPaused(tx, p.Tenant, name, action) }); err != nil {
		return api.ConnectorState{}, err
	}
	var err error
	switch action {
	case "sync":
		if s.cluster.holds(connectorLease(p.Tenant, name)) { // otherwise the node that pulls it sees the request
			err = s.fleet.Sync(p.Tenant, name)
		}
	case "pause", "resume":
		err = s.alignNow(ctx, p.Tenant, name)
	case "test":
		err = s.fleet.Test(ctx, p.Tenant, name)
	}
	if err != nil {
		return api.ConnectorState{}, err
	}
	st, err := s.fleet.State(p.Tenant, name)
	return connectorView(st), err
}

// syncCounter counts the requests to pull a connector now.
func syncCounter(t hub.TenantID, name string) string { return "sync/" + string(t) + "/" + name }

// pauseCounter counts the requests to pause a connector or to have it go on.
func pauseCounter(t hub.TenantID, name string) string { return "pause/" + string(t) + "/" + name }

// asked counts what was asked of a connector, of whichever node. Of pauses the
// number tells more than the state: two that follow each other quickly, at two
// nodes, would look like none.
type asked struct{ pauses, syncs int64 }

// follow does here what was asked of another node since the last look.
func (s *sources) follow(ctx context.Context) error {
	s.looking.Lock()
	defer s.looking.Unlock()
	return s.st.View(ctx, func(r *store.Reader) error {
		for _, c := range s.fleet.All() {
			lease := connectorLease(c.Tenant, c.Name)
			pauses, err := r.CounterValue(pauseCounter(c.Tenant, c.Name))
			if err != nil {
				return err
			}
			syncs, err := r.CounterValue(syncCounter(c.Tenant, c.Name))
			if err != nil {
				return err
			}
			before, known := s.asked[lease]
			if known && pauses > before.pauses {
				if err := s.align(r, c.Tenant, c.Name); err != nil && hub.KindOf(err) != hub.Conflict { // refusals were told to who asked
					return err
				}
			}
			if known && syncs > before.syncs && s.cluster.holds(lease) {
				_ = s.fleet.Sync(c.Tenant, c.Name)
			}
			s.asked[lease] = asked{pauses, syncs}
		}
		return nil
	})
}

// align pauses a connector here, or has it go on, as is stored. The caller looks
// alone: an older look must not win.
func (s *sources) align(r *store.Reader, t hub.TenantID, name string) error {
	row, err := r.Connector(t, name)
	switch {
	case err != nil:
		return err
	case row.Paused:
		return s.fleet.Pause(t, name)
	}
	return s.fleet.Resume(t, name)
}

// alignNow does that after a request.
func (s *sources) alignNow(ctx context.Context, t hub.TenantID, name string) error {
	s.looking.Lock()
	defer s.looking.Unlock()
	return s.st.View(ctx, func(r *store.Reader) error { return s.align(r, t, name) })
}

// setPaused keeps a pause over restarts, and tells other nodes.
func (s *sources) setPaused(tx *store.Tx, t hub.TenantID, name, action string) error {
	if action == "sync" {
		tx.Counter(syncCounter(t, name), 1)
	}
	if action != "test" {
		tx.NoteChange()
	}
	if action != "pause" && action != "resume" {
		return nil
	}
	tx.Counter(pauseCounter(t, name), 1)
	row, err := tx.Connector(t, name)
	if err != nil {
		return err
	}
	row.Paused, row.At = action == "pause", tx.Now()
	return tx.PutConnector(t, name, row)
}

// receive takes a push for a source.
func (s *sources) receive(ctx context.Context, source string, r api.IngestRequest) (api.IngestResult, error) {
	receipt, err := s.fleet.Receive(ctx, source, pushed(r))
	if err != nil {
		return api.IngestResult{}, err
	}
	out := api.IngestResult{IDs: receipt.IDs}
	for _, x := range receipt.Rejects {
		out.Rejected = append(out.Rejected, api.Reject{Index: x.Index, Error: x.Error})
	}
	return out, nil
}

// vendor answers at a path that senders of another product know.
func (s *sources) vendor(ctx context.Context, path string, r api.IngestRequest) (api.VendorAnswer, error) {
	a, err := s.fleet.Serve(ctx, path, pushed(r))
	return api.VendorAnswer{Status: a.Status, Type: a.Type, Body: a.Body, RetryAfter: a.RetryAfter}, err
}

func pushed(r api.IngestRequest) connectors.Request {
	return connectors.Request{Method: r.Method, Query: r.Query, Header: http.Header(r.Header), Body: r.Body}
}

// actor sends a delivery to a source system: an action that a playbook asked for.
type actor struct{ fleet *connectors.Fleet }

// Send performs the action under the delivery's id as its key.
func (a actor) Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	result, err := a.fleet.Do(ctx, d.Tenant, e.Name, d.Action, string(d.ID), d.Params)
	if hub.KindOf(err) == hub.RateLimited {
		return hub.Attempt{}, &hub.Error{Kind: hub.Transient, Msg: "the source system's rate limit is used up", Err: err, RetryAfter: retryAfterOf(err)}
	}
	return hub.Attempt{Body: string(result[:min(len(result), 16<<10)])}, err
}

func retryAfterOf(err error) time.Duration {
	var he *hub.Error
	if errors.As(err, &he) {
		return he.RetryAfter
	}
	return 0
}

// connectorEndpoint is the endpoint that stands for a connector's actions.
func connectorEndpoint(t hub.TenantID, name string) *hub.Endpoint {
	return &hub.Endpoint{ID: hub.EndpointID("con_" + name), Tenant: t, Kind: hub.KindConnector, Name: name, Enabled: true}
}
