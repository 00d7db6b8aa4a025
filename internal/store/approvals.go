package store

import (
	"github.com/tocsin/tocsin/hub"
)

// Approval gives one approval.
func (r *Reader) Approval(tenant hub.TenantID, id hub.ApprovalID) (*hub.Approval, error) {
	all, err := r.approvals("SELECT doc FROM approvals WHERE tenant = $1 AND id = $2", string(tenant), string(id))
	if err == nil && len(all) == 0 {
		return nil, notFound("approval", id)
	}
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// WaitingApproval gives what a run waits on; nil if it waits on none.
func (r *Reader) WaitingApproval(tenant hub.TenantID, run hub.RunID) (*hub.Approval, error) {
	all, err := r.approvals("SELECT doc FROM approvals WHERE run = $1 AND state = 'waiting' AND tenant = $2", string(run), string(tenant))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// ListApprovals gives up to limit approvals that were asked before the one with
// the id before ("": from the newest), newest first. state is "" for any.
func (r *Reader) ListApprovals(tenant hub.TenantID, state hub.ApprovalState, before hub.ApprovalID, skip, limit int) ([]*hub.Approval, error) {
	if before == "" {
		before = hub.PrefixApproval + "~" // behind every id
	}
	return r.approvals("SELECT doc FROM approvals WHERE tenant = $1 AND id < $2 AND (state = $3 OR $3 = '') ORDER BY id DESC LIMIT $4 OFFSET $5",
		string(tenant), string(before), string(state), int64(limit), int64(skip))
}

// CountApprovals counts a tenant's approvals. state is "" for any.
func (r *Reader) CountApprovals(tenant hub.TenantID, state hub.ApprovalState) (n int64, err error) {
	_, err = r.one("SELECT count(*) FROM approvals WHERE tenant = $1 AND (state = $2 OR $2 = '')", []any{string(tenant), string(state)}, func(v []any) error {
		n = v[0].(int64)
		return nil
	})
	return n, err
}

func (r *Reader) approvals(query string, args ...any) (all []*hub.Approval, err error) {
	err = r.q.Query(query, args, func(v []any) error {
		a := new(hub.Approval)
		all = append(all, a)
		return decode(bytesOf(v[0]), a)
	})
	return all, err
}

// PutApproval stores an approval, new or changed. The messages that ask it are to
// show it as it is.
func (tx *Tx) PutApproval(a *hub.Approval) error {
	err := tx.send("INSERT INTO approvals (id, tenant, run, state, doc) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET state = excluded.state, doc = excluded.doc",
		string(a.ID), string(a.Tenant), string(a.Run), string(a.State), encode(a))
	if a.Version == 1 {
		return err // none is sent yet
	}
	for _, e := range a.Channels {
		if err == nil {
			err = tx.WantApproval(a, e)
		}
	}
	return err
}

// WantApproval notes that the message of an endpoint, if there is one, is to show
// an approval as it is.
func (tx *Tx) WantApproval(a *hub.Approval, e hub.EndpointID) error {
	return tx.send("UPDATE threads SET wanted = $1 WHERE endpoint = $2 AND alert = $3 AND generation = 1 AND tenant = $4 AND wanted < $1",
		a.Version, string(e), string(a.ID), string(a.Tenant))
}
