package drivertest

import (
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

func tripPosting(t *testing.T, s *store.Store) {
	post := func(alert string, generation int64, message string, version, wanted int64) hub.Posting {
		p := hub.Posting{
			Tenant: tenant, Endpoint: "chn_1", Alert: hub.AlertID(alert), Generation: generation, Asked: "#soc", Place: "C1", Message: message,
			Version: version, Wanted: wanted, Delivery: "dlv_1", At: when.Add(time.Duration(version) * time.Second),
		}
		do(t, s, func(tx *store.Tx) error { return tx.PutPosting(&p) })
		return p
	}
	of := func(alerts ...hub.AlertID) (all []hub.Posting) {
		view(t, s, func(r *store.Reader) (err error) {
			all, err = r.Postings(tenant, "chn_1", alerts)
			return err
		})
		return all
	}
	one, again := post("alt_1", 1, "1.1", 3, 3), post("alt_1", 2, "1.2", 5, 5)
	two := post("alt_2", 1, "1.1", 1, 4)
	same(t, "postings", of("alt_1", "alt_2", "alt_3"), []hub.Posting{one, again, two})
	view(t, s, func(r *store.Reader) error {
		same(t, "behind", must[[]hub.Posting](t)(r.PostingsBehind("chn_1", 10)), []hub.Posting{two})
		p, found, err := r.PostingAt(tenant, "chn_1", "C1", "1.2")
		if err != nil || !found {
			t.Errorf("found %v, %v", found, err)
		}
		same(t, "posting at", p, again)
		for _, q := range [][2]string{{"chn_1", "C2"}, {"chn_2", "C1"}} {
			if _, found, _ := r.PostingAt(tenant, hub.EndpointID(q[0]), q[1], "1.2"); found {
				t.Errorf("found another at %v", q)
			}
		}
		if _, found, _ := r.PostingAt("other", "chn_1", "C1", "1.2"); found {
			t.Error("found another tenant's")
		}
		same(t, "another tenant's", must[[]hub.Posting](t)(r.Postings("other", "chn_1", []hub.AlertID{"alt_1"})), []hub.Posting(nil))
		return nil
	})
	post("alt_2", 1, "1.1", 4, 4)
	post("alt_2", 1, "1.1", 2, 3) // an outcome that comes late
	if got := of("alt_2"); len(got) != 1 || got[0].Version != 4 || got[0].Wanted != 4 {
		t.Errorf("a version went back: %+v", got)
	}
	two = post("alt_2", 1, "1.9", 2, 2) // posted anew
	same(t, "posted anew", of("alt_2"), []hub.Posting{two})
}

// What somebody had when its lease ended may have been sent.
func tripUnsure(t *testing.T, s *store.Store) {
	all := []hub.Delivery{{ID: "dlv_1", Tenant: tenant, Endpoint: "chn_1", State: hub.DeliveryPending, CreatedAt: when, UpdatedAt: when, DueAt: when}}
	due := func() hub.Delivery {
		t.Helper()
		var got []hub.Delivery
		view(t, s, func(r *store.Reader) (err error) {
			got, err = r.DueDeliveries("chn_1", when.Add(time.Hour), 10)
			return err
		})
		if len(got) != 1 {
			t.Fatalf("%d are due, want 1", len(got))
		}
		return got[0]
	}
	do(t, s, func(tx *store.Tx) error { tx.AddDelivery(&all[0]); return nil })
	if due().Unsure {
		t.Error("a new one is unsure")
	}
	do(t, s, func(tx *store.Tx) error { return tx.Lease(all, "w1#1", when.Add(time.Minute)) })
	do(t, s, func(tx *store.Tx) error { _, err := tx.ExpireLeases(when.Add(2 * time.Minute)); return err })
	d := due()
	if !d.Unsure {
		t.Error("one whose lease ended is not unsure")
	}
	all[0] = d
	do(t, s, func(tx *store.Tx) error { return tx.Lease(all, "w2#1", when.Add(time.Minute)) })
	d.Lease, d.State, d.DueAt = "w2#1", hub.DeliveryPending, when
	do(t, s, func(tx *store.Tx) error { _, err := tx.ConcludeDelivery(&d, store.Mark(&d)); return err })
	if !due().Unsure {
		t.Error("one that was given back is not unsure any more")
	}
}
