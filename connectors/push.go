package connectors

import (
	"context"
	"fmt"
	"strings"
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
	receipt, err := f.accept(ctx, m, batch)
	if err == nil && len(receipt.IDs) == 0 {
		err = allRejected(receipt.Rejects)
	}
	return receipt, err
}

// Serve is the entry for the vendors' own paths: path is the request's whole
// one. The source whose credential the request carries answers it.
func (f *Fleet) Serve(ctx context.Context, path string, r Request) (Response, error) {
	m, server := f.server(path, r)
	if server == nil {
		return Response{}, hub.E(hub.NotFound, "no source serves this path")
	}
	r.Path = strings.TrimPrefix(path, server.Root())
	return server.Serve(ctx, r, func(ctx context.Context, b Batch) (Receipt, error) { return f.accept(ctx, m, b) }), nil
}

// server finds the source for a request: the one that claims it, else the first
// that has the path.
func (f *Fleet) server(path string, r Request) (*member, Server) {
	var first *member
	for _, m := range f.members {
		s, ok := m.source.(Server)
		if !ok || path != s.Root() && !strings.HasPrefix(path, s.Root()+"/") {
			continue
		}
		if s.Claims(r) {
			return m, s
		}
		if first == nil {
			first = m
		}
	}
	if first == nil {
		return nil, nil
	}
	return first, first.source.(Server)
}

// accept makes a batch durable and counts it.
func (f *Fleet) accept(ctx context.Context, m *member, b Batch) (Receipt, error) {
	name := m.common.Name
	if len(b.Findings) == 0 {
		f.refused(ctx, m, b.Rejects)
		return Receipt{Rejects: b.Rejects}, nil
	}
	if repaired := Stamp(b.Findings, m.common.Tenant, name, time.Now()); repaired > 0 {
		f.cfg.Log.Warn("findings with missing fields were filled in", "connector", name, "count", repaired)
	}
	if err := f.cfg.Store.Commit(ctx, m.common.Tenant, name, Page{Findings: b.Findings, Rejects: kept(b.Rejects)}, nil); err != nil {
		return Receipt{}, fmt.Errorf("accept push to connector %s: %w", name, err)
	}
	f.count(m, b.Rejects)
	m.received.Add(int64(len(b.Findings)))
	f.cfg.Metrics.taken(name, "push", len(b.Findings))
	ids := make([]hub.FindingID, len(b.Findings))
	for i := range b.Findings {
		ids[i] = b.Findings[i].ID
	}
	return Receipt{IDs: ids, Rejects: b.Rejects}, nil
}

// maxKept is how many rejected items of one request or page are kept, so that
// a sender whose every item is wrong does not fill the room at once.
const maxKept = 20

func kept(rejects []Reject) []Reject { return rejects[:min(len(rejects), maxKept)] }

// refused keeps and counts the items of a request that held nothing else. That
// they cannot be kept now does not change what the sender is told.
func (f *Fleet) refused(ctx context.Context, m *member, rejects []Reject) {
	if len(rejects) == 0 {
		return
	}
	if err := f.cfg.Store.Commit(ctx, m.common.Tenant, m.common.Name, Page{Rejects: kept(rejects)}, nil); err != nil {
		f.cfg.Log.Warn("rejected items could not be kept", "connector", m.common.Name, "count", len(rejects), "error", err)
	}
	f.count(m, rejects)
}

func (f *Fleet) count(m *member, rejects []Reject) {
	m.rejected.Add(int64(len(rejects)))
	f.cfg.Metrics.refused(m.common.Name, len(rejects))
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
