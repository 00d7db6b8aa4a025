package drivertest

import (
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

func tripApproval(t *testing.T, s *store.Store) {
	make := func(id hub.ApprovalID, tenant hub.TenantID, run hub.RunID) *hub.Approval {
		return &hub.Approval{
			ID: id, Tenant: tenant, Run: run, Playbook: "p", Step: "ask", Subject: "alt_1", Message: "may I?", By: []string{"role:admin"}, Quorum: 2, OnTimeout: "stop",
			Channels: []hub.EndpointID{"chn_9"}, State: hub.ApprovalWaiting, Answers: []hub.Answer{}, CreatedAt: when, ExpiresAt: when.Add(time.Hour), Version: 1,
		}
	}
	one, two, other := make("apr_1", tenant, "run_1"), make("apr_2", tenant, "run_2"), make("apr_3", "other", "run_3")
	posted := hub.Posting{Tenant: tenant, Endpoint: "chn_9", Alert: "apr_1", Generation: 1, Place: "C1", Message: "1.1", Version: 1, Wanted: 1, At: when}
	do(t, s, func(tx *store.Tx) error {
		for _, a := range []*hub.Approval{one, two, other} {
			if err := tx.PutApproval(a); err != nil {
				return err
			}
		}
		return tx.PutPosting(&posted)
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "approval", must[*hub.Approval](t)(r.Approval(tenant, "apr_1")), one)
		_, err := r.Approval("other", "apr_1")
		wantKind(t, err, hub.NotFound)
		same(t, "waiting", must[*hub.Approval](t)(r.WaitingApproval(tenant, "run_2")), two)
		same(t, "another tenant's", must[*hub.Approval](t)(r.WaitingApproval("other", "run_2")), (*hub.Approval)(nil))
		same(t, "behind", must[[]hub.Posting](t)(r.PostingsBehind("chn_9", 5)), []hub.Posting(nil))
		return nil
	})
	one.State, one.Version, one.DecidedAt = hub.ApprovalApproved, 3, when.Add(time.Minute)
	one.Answers = []hub.Answer{{Who: "usr_1", Email: "a@example.com", Name: "a@example.com", Decision: hub.Approve, Note: "n", At: when}}
	do(t, s, func(tx *store.Tx) error { return tx.PutApproval(one) })
	posted.Wanted = 3
	view(t, s, func(r *store.Reader) error {
		same(t, "decided", must[*hub.Approval](t)(r.Approval(tenant, "apr_1")), one)
		same(t, "nothing waits", must[*hub.Approval](t)(r.WaitingApproval(tenant, "run_1")), (*hub.Approval)(nil))
		same(t, "behind", must[[]hub.Posting](t)(r.PostingsBehind("chn_9", 5)), []hub.Posting{posted})
		list := func(state hub.ApprovalState, before hub.ApprovalID, skip, limit int) []*hub.Approval {
			return must[[]*hub.Approval](t)(r.ListApprovals(tenant, state, before, skip, limit))
		}
		same(t, "all", list("", "", 0, 5), []*hub.Approval{two, one})
		same(t, "those that wait", list(hub.ApprovalWaiting, "", 0, 5), []*hub.Approval{two})
		same(t, "after one", list("", "apr_2", 0, 5), []*hub.Approval{one})
		same(t, "after a page", list("", "", 1, 1), []*hub.Approval{one})
		same(t, "count", must[int64](t)(r.CountApprovals(tenant, "")), int64(2))
		same(t, "count of state", must[int64](t)(r.CountApprovals(tenant, hub.ApprovalApproved)), int64(1))
		return nil
	})
}
