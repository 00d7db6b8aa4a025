package drivertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// testRelay checks what the relay asks of the store.
func testRelay(t *testing.T, k Kit) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *store.Store)
	}{
		{"an outcome counts once", relayFence},
		{"leases run out", relayExpire},
		{"endpoints with something due", relayDue},
		{"hold and release", relayHold},
		{"order by key", relayOrder},
		{"breakers", relayBreakers},
		{"replays", relayReplays},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, k.store(t)) })
	}
}

// plant adds deliveries with a number each.
func plant(t *testing.T, s *store.Store, endpoint hub.EndpointID, from, n int, edit func(i int, d *hub.Delivery)) {
	t.Helper()
	do(t, s, func(tx *store.Tx) error {
		for i := from; i < from+n; i++ {
			d := hub.Delivery{
				ID: hub.DeliveryID(fmt.Sprintf("dlv_%s_%03d", endpoint, i)), Tenant: tenant, Endpoint: endpoint, Kind: hub.KindWebhook, State: hub.DeliveryPending,
				EventType: hub.AlertCreated, CreatedAt: when.Add(time.Duration(i) * time.Second), UpdatedAt: when, DueAt: when.Add(time.Duration(i) * time.Second),
			}
			if edit != nil {
				edit(i, &d)
			}
			tx.AddDelivery(&d)
		}
		return nil
	})
}

// shown gives the numbers of deliveries with their states.
func shown(all []hub.Delivery) (out []string) {
	for _, d := range all {
		out = append(out, string(d.ID[len(d.ID)-3:])+" "+string(d.State))
	}
	return out
}

func listed(t *testing.T, s *store.Store, endpoint hub.EndpointID) (out []string) {
	t.Helper()
	view(t, s, func(r *store.Reader) error {
		all := must[[]hub.Delivery](t)(r.ListDeliveries(tenant, &store.DeliveryFilter{Endpoint: endpoint}, "", 0, 1000))
		for i := len(all) - 1; i >= 0; i-- {
			out = append(out, shown(all[i:i+1])...)
		}
		return nil
	})
	return out
}

func relayFence(t *testing.T, s *store.Store) {
	plant(t, s, "a", 0, 3, func(_ int, d *hub.Delivery) { d.State, d.Lease = hub.DeliveryDelivering, "w#1" })
	conclude := func(lease string, state hub.DeliveryState) (stored bool) {
		do(t, s, func(tx *store.Tx) (err error) {
			d := hub.Delivery{ID: "dlv_a_000", Tenant: tenant, Lease: lease, State: state, Attempts: 1}
			stored, err = tx.ConcludeDelivery(&d, "")
			return err
		})
		return stored
	}
	equal(t, "under another lease", conclude("w#2", hub.DeliveryDead), false)
	equal(t, "under its own", conclude("w#1", hub.DeliveryRetrying), true)
	equal(t, "a second time", conclude("w#1", hub.DeliveryDead), false)
	do(t, s, func(tx *store.Tx) error {
		ids := []hub.DeliveryID{"dlv_a_000", "dlv_a_001", "dlv_a_002"}
		equal(t, "success under another lease", must[int64](t)(tx.SucceedDeliveries(tenant, "w#2", ids, 1, 200, when)), 0)
		equal(t, "success of those still leased", must[int64](t)(tx.SucceedDeliveries(tenant, "w#1", ids, 1, 200, when)), 2)
		return nil
	})
	equal(t, "in the end", listed(t, s, "a"), []string{"000 retrying", "001 succeeded", "002 succeeded"})
}

func relayExpire(t *testing.T, s *store.Store) {
	plant(t, s, "a", 0, 3, func(i int, d *hub.Delivery) { d.State, d.Lease, d.Attempts = hub.DeliveryDelivering, "w#1", i })
	do(t, s, func(tx *store.Tx) error {
		equal(t, "run out", must[int64](t)(tx.ExpireLeases(when.Add(time.Second))), 2)
		return nil
	})
	equal(t, "after it", listed(t, s, "a"), []string{"000 pending", "001 retrying", "002 delivering"})
}

func relayDue(t *testing.T, s *store.Store) {
	for i, id := range []hub.EndpointID{"b", "d", "a"} {
		plant(t, s, id, i, 5, nil)
	}
	plant(t, s, "c", 0, 3, func(_ int, d *hub.Delivery) { d.State = hub.DeliveryHeld })
	view(t, s, func(r *store.Reader) error {
		equal(t, "due", must[[]store.Due](t)(r.DueEndpoints()), []store.Due{{Endpoint: "a", At: when.Add(2 * time.Second)}, {Endpoint: "b", At: when}, {Endpoint: "d", At: when.Add(time.Second)}})
		equal(t, "held", must[[]hub.EndpointID](t)(r.HeldEndpoints()), []hub.EndpointID{"c"})
		equal(t, "of d", shown(must[[]hub.Delivery](t)(r.DueDeliveries("d", when.Add(4*time.Second), 3))), []string{"001 pending", "002 pending", "003 pending"})
		return nil
	})
}

func relayHold(t *testing.T, s *store.Store) {
	plant(t, s, "a", 0, 4, func(i int, d *hub.Delivery) { d.Probe = i == 2 })
	do(t, s, func(tx *store.Tx) error { // a probe gets its mark by an update
		d, err := tx.Delivery(tenant, "dlv_a_002")
		d.Probe = true
		if err != nil {
			return err
		}
		return tx.UpdateDelivery(&d)
	})
	plant(t, s, "a", 4, 2, func(_ int, d *hub.Delivery) { d.State, d.Lease = hub.DeliveryDelivering, "w" })
	do(t, s, func(tx *store.Tx) error {
		equal(t, "held", must[int64](t)(tx.HoldDeliveries("a", when, 2, false)), 2)
		equal(t, "held of those leased", must[int64](t)(tx.HoldLeased("w", []hub.DeliveryID{"dlv_a_004", "dlv_a_003"}, when)), 1)
		return nil
	})
	equal(t, "after it", listed(t, s, "a"), []string{"000 held", "001 held", "002 pending", "003 pending", "004 held", "005 delivering"})
	view(t, s, func(r *store.Reader) error {
		equal(t, "probes", shown(must[[]hub.Delivery](t)(r.ProbeDeliveries("a", when.Add(time.Hour)))), []string{"002 pending"})
		equal(t, "oldest", shown(must[[]hub.Delivery](t)(r.OldestHeld("a", 2))), []string{"000 held", "001 held"})
		return nil
	})
	do(t, s, func(tx *store.Tx) error {
		equal(t, "released", must[int64](t)(tx.ReleaseHeld("a", when.Add(-time.Hour), 2)), 2)
		return nil
	})
	view(t, s, func(r *store.Reader) error {
		due := must[[]hub.Delivery](t)(r.DueDeliveries("a", when, 10))
		equal(t, "released ones", must[int64](t)(r.Released("a", 10)), 2)
		equal(t, "released ones, counting to 1", must[int64](t)(r.Released("a", 1)), 1)
		equal(t, "due after it", shown(due), []string{"000 pending", "001 pending"})
		equal(t, "in order", due[0].InOrder && due[0].DueAt.Before(due[1].DueAt), true)
		return nil
	})
}

func relayOrder(t *testing.T, s *store.Store) {
	plant(t, s, "a", 0, 6, func(i int, d *hub.Delivery) { d.Key = []string{"x", "y"}[i%2] })
	first := func(key string) (id hub.DeliveryID) {
		view(t, s, func(r *store.Reader) error {
			if d := must[*hub.Delivery](t)(r.FirstOfKey("a", key)); d != nil {
				id = d.ID
			}
			return nil
		})
		return id
	}
	over := func(id hub.DeliveryID) {
		do(t, s, func(tx *store.Tx) error {
			return tx.UpdateDelivery(&hub.Delivery{ID: id, Tenant: tenant, State: hub.DeliveryDead})
		})
	}
	advance := func(key string) (moved bool) {
		do(t, s, func(tx *store.Tx) (err error) {
			moved, err = tx.Advance("a", key, when)
			return err
		})
		return moved
	}
	equal(t, "first", first("x"), "dlv_a_000")
	equal(t, "first of none", first("z"), "")
	do(t, s, func(tx *store.Tx) error { return tx.PutBehind([]hub.DeliveryID{"dlv_a_002", "dlv_a_004"}) })
	equal(t, "put behind", dueAt(t, s, "dlv_a_002"), hub.Never())
	equal(t, "while the first is there", advance("x"), false)
	over("dlv_a_000")
	equal(t, "when it is over", advance("x"), true)
	equal(t, "then due", dueAt(t, s, "dlv_a_002"), when)
	equal(t, "a second time", advance("x"), false)
	over("dlv_a_002")
	over("dlv_a_004")
	equal(t, "the last over", advance("x"), false)
	equal(t, "none left", first("x"), "")
}

func relayBreakers(t *testing.T, s *store.Store) {
	b := &hub.Breaker{State: hub.BreakerOpen, Since: when, Reason: "ten in a row", Probes: 2, ProbeAt: when.Add(time.Minute)}
	read := func() (all map[hub.EndpointID]*hub.Breaker) {
		view(t, s, func(r *store.Reader) error {
			all = must[map[hub.EndpointID]*hub.Breaker](t)(r.Breakers())
			equal(t, "one", must[*hub.Breaker](t)(r.Breaker("whk_1")), all["whk_1"])
			return nil
		})
		return all
	}
	do(t, s, func(tx *store.Tx) error { return tx.PutBreaker(tenant, "whk_1", b) })
	equal(t, "open", read(), map[hub.EndpointID]*hub.Breaker{"whk_1": b})
	b.State, b.Probes = hub.BreakerHalfOpen, 3
	do(t, s, func(tx *store.Tx) error { return tx.PutBreaker(tenant, "whk_1", b) })
	equal(t, "half open", read(), map[hub.EndpointID]*hub.Breaker{"whk_1": b})
	do(t, s, func(tx *store.Tx) error { return tx.PutBreaker("other", "whk_1", nil) })
	equal(t, "for another tenant", len(read()), 1)
	do(t, s, func(tx *store.Tx) error { return tx.PutBreaker(tenant, "whk_1", nil) })
	equal(t, "closed", len(read()), 0)
}

func relayReplays(t *testing.T, s *store.Store) {
	states := []hub.DeliveryState{hub.DeliverySucceeded, hub.DeliveryDead, hub.DeliveryRetrying, hub.DeliveryHeld, hub.DeliveryDelivering}
	plant(t, s, "a", 0, 10, func(i int, d *hub.Delivery) {
		d.State, d.Attempts = states[i%5], 3
		if i == 5 {
			d.Run = "run_1"
		}
		if i == 6 {
			d.EventType = hub.AlertResolvedEvent
		}
	})
	p := &hub.Replay{
		ID: "rpl_1", Tenant: tenant, Endpoint: "a", State: hub.ReplayRunning, Since: when.Add(time.Second), Until: when.Add(9 * time.Second), Last: "dlv_a_999",
		CreatedAt: when, UpdatedAt: when,
	}
	count := func(edit func(p *hub.Replay)) (n int64) {
		q := *p
		edit(&q)
		view(t, s, func(r *store.Reader) error {
			n = must[int64](t)(r.CountReplay(&q, ""))
			all := must[[]hub.Delivery](t)(r.ReplayDeliveries(&q, "", 1000))
			equal(t, "count and list", n, int64(len(all)))
			return nil
		})
		return n
	}
	equal(t, "all", count(func(*hub.Replay) {}), 7)
	equal(t, "of a type", count(func(p *hub.Replay) { p.Events = []hub.EventType{hub.AlertResolvedEvent} }), 1)
	equal(t, "dead", count(func(p *hub.Replay) { p.States = []string{"dead"} }), 2)
	equal(t, "behind a place", count(func(p *hub.Replay) { p.Place = "dlv_a_006" }), 2)
	equal(t, "another's", count(func(p *hub.Replay) { p.Tenant = "other" }), 0)
	do(t, s, func(tx *store.Tx) error {
		return tx.Rearm([]hub.DeliveryID{"dlv_a_001", "dlv_a_002", "dlv_a_003", "dlv_a_004"}, when)
	})
	equal(t, "rearmed", listed(t, s, "a")[1:5], []string{"001 pending", "002 pending", "003 held", "004 delivering"})
	view(t, s, func(r *store.Reader) error {
		dead, pending := must[hub.Delivery](t)(r.Delivery(tenant, "dlv_a_001")), must[hub.Delivery](t)(r.Delivery(tenant, "dlv_a_002"))
		if dead.Base != 3 || pending.Base != 0 || !dead.Replayed {
			t.Errorf("bases %d and %d, replayed %v; want 3, 0 and true", dead.Base, pending.Base, dead.Replayed)
		}
		equal(t, "waiting", must[int64](t)(r.Replayed("a", 100)), 2)
		return nil
	})
	q := *p
	q.ID, q.State, q.Place = "rpl_2", hub.ReplayCancelled, "dlv_a_001"
	do(t, s, func(tx *store.Tx) error {
		if err := tx.PutReplay(p); err != nil {
			return err
		}
		return tx.PutReplay(&q)
	})
	view(t, s, func(r *store.Reader) error {
		equal(t, "one", must[*hub.Replay](t)(r.Replay(tenant, "rpl_2")), &q)
		equal(t, "running", must[[]*hub.Replay](t)(r.RunningReplays()), []*hub.Replay{p})
		equal(t, "newest first", must[[]*hub.Replay](t)(r.Replays(tenant, "a", 10)), []*hub.Replay{&q, p})
		_, err := r.Replay("other", "rpl_2")
		wantKind(t, err, hub.NotFound)
		return nil
	})
}

// equal is same for values of one type.
func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
