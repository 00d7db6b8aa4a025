package connectors

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Receipt answers a pushed request: what was accepted durably and what was not.
type Receipt struct {
	IDs     []hub.FindingID
	Rejects []Reject
}

// Receive is the entry for POST /ingest/{name}. The source checks the
// request's signature; there is no other authentication. When Receive returns
// without error, what it accepted is durable.
//
// A request of which every item is rejected is an error of kind Invalid that
// names them.
func (f *Fleet) Receive(ctx context.Context, name string, r Request) (Receipt, error) {
	m := f.find(name)
	if m == nil {
		return Receipt{}, hub.E(hub.NotFound, "there is no source of this name")
	}
	receiver, ok := m.source.(Receiver)
	if !ok {
		return Receipt{}, hub.E(hub.NotFound, "this source sends nothing to us")
	}
	batch, err := receiver.Receive(ctx, r)
	if err != nil {
		return Receipt{}, err
	}
	m.rejected.Add(int64(len(batch.Rejects)))
	f.cfg.Metrics.refused(name, len(batch.Rejects))
	if len(batch.Findings) == 0 {
		return Receipt{Rejects: batch.Rejects}, allRejected(batch.Rejects)
	}
	return f.accept(ctx, m, batch)
}

func (f *Fleet) accept(ctx context.Context, m *member, b Batch) (Receipt, error) {
	name := m.common.Name
	if repaired := Stamp(b.Findings, m.common.Tenant, name, time.Now()); repaired > 0 {
		f.cfg.Log.Warn("findings with missing fields were filled in", "connector", name, "count", repaired)
	}
	if err := f.cfg.Store.Commit(ctx, m.common.Tenant, name, Page{Findings: b.Findings}, nil); err != nil {
		return Receipt{}, fmt.Errorf("accept push to connector %s: %w", name, err)
	}
	m.received.Add(int64(len(b.Findings)))
	f.cfg.Metrics.taken(name, "push", len(b.Findings))
	ids := make([]hub.FindingID, len(b.Findings))
	for i := range b.Findings {
		ids[i] = b.Findings[i].ID
	}
	return Receipt{IDs: ids, Rejects: b.Rejects}, nil
}

// allRejected is nil for a request that held nothing at all.
func allRejected(rejects []Reject) error {
	if len(rejects) == 0 {
		return nil
	}
	err := hub.E(hub.Invalid, "nothing in the request can be used: "+rejects[0].Error)
	for _, r := range rejects {
		err.Fields = append(err.Fields, hub.Field{Pointer: fmt.Sprintf("/%d", r.Index), Detail: r.Error})
	}
	return err
}
