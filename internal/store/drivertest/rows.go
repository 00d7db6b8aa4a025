package drivertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

var when = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// same compares what was stored with what came back.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s came back changed (-stored +read):\n%s", what, diff)
	}
}

// must gives a value that was read without error.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return v
	}
}

// sampleAlert fills every kind of field.
func sampleAlert(n int) *hub.Alert {
	a := &hub.Alert{
		ID: hub.AlertID(fmt.Sprintf("alt_%04d", n)), Tenant: tenant, Fingerprint: hub.Fingerprint{byte(n), byte(n >> 8)},
		Title: "é \x00 title", Type: "malware", Severity: hub.High, Status: hub.AlertOpen, AssetID: "srv", Asset: &hub.Asset{Account: "012345"},
		Source: "one", Sources: []string{"one", "two"}, FirstSeen: when, LastSeen: when, CreatedAt: when, UpdatedAt: when,
		Count: 1, Generation: 1, Version: 1, RiskScore: new(12.5), Labels: map[string]string{"a": "b"}, Payload: []byte(`{"x":1.50}`),
	}
	return a
}

func putAlert(tx *store.Tx, a, old *hub.Alert) error {
	doc, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return tx.PutAlert(a, old, doc)
}

func testRoundTrips(t *testing.T, k Kit) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"finding": tripFinding, "identity": tripIdentity, "alert": tripAlert, "delivery": tripDelivery, "endpoint": tripEndpoint,
		"run": tripRun, "what sources said": tripSaid, "what was rejected": tripRejected, "access": tripAccess, "small": tripSmall,
		"inbound": tripInbound, "postings": tripPosting, "approvals": tripApproval, "unsure": tripUnsure, "outside ids": tripOutside, "readers": tripProgress,
	} {
		t.Run(name, func(t *testing.T) { test(t, k.store(t)) })
	}
}

func tripFinding(t *testing.T, s *store.Store) {
	f := &hub.Finding{ID: "fnd_1", Tenant: tenant, Source: "src", Type: "xss", Severity: hub.Low, AssetID: "a", ReceivedAt: when}
	tr := hub.Triage{Finding: f.ID, Alert: "alt_1", Outcome: hub.OutcomeMerged}
	do(t, s, func(tx *store.Tx) error {
		tx.AddFinding(f, tr, []byte(`{"id":"fnd_1"}`))
		// inside the transaction it is there already
		same(t, "triage", must[map[hub.FindingID]hub.Triage](t)(tx.Triaged(tenant, []hub.FindingID{"fnd_0", "fnd_1"})), map[hub.FindingID]hub.Triage{"fnd_1": tr})
		return nil
	})
	view(t, s, func(r *store.Reader) error {
		row := must[store.FindingRow](t)(r.Finding(tenant, "fnd_1"))
		same(t, "finding", row, store.FindingRow{N: row.N, Triage: tr, Doc: []byte(`{"id":"fnd_1"}`)})
		for i, c := range []struct {
			f    store.FindingFilter
			want int64
		}{
			{store.FindingFilter{}, 1},
			{store.FindingFilter{Severity: []string{"high", "low"}, Type: []string{"xss"}, Source: []string{"src"}, AssetID: []string{"a"}, Outcome: []string{"merged"}}, 1},
			{store.FindingFilter{Outcome: []string{"created"}}, 0},
		} {
			list := must[[]store.FindingRow](t)(r.ListFindings(tenant, &c.f, 0, 0, 10))
			if n := must[int64](t)(r.CountFindings(tenant, &c.f)); n != c.want || len(list) != int(n) {
				t.Errorf("filter %d counts %d and lists %d, want %d", i, n, len(list), c.want)
			}
		}
		_, err := r.Finding("other", "fnd_1")
		wantKind(t, err, hub.NotFound)
		return nil
	})
}

func wantKind(t *testing.T, err error, want hub.Kind) {
	t.Helper()
	if hub.KindOf(err) != want {
		t.Errorf("got the error %v, want kind %q", err, want)
	}
}

func tripIdentity(t *testing.T, s *store.Store) {
	var prints []hub.Fingerprint
	want := map[hub.Fingerprint]hub.Identity{}
	do(t, s, func(tx *store.Tx) error {
		for i := range 150 { // more than one query's worth
			id := hub.Identity{
				Tenant: tenant, Fingerprint: hub.Fingerprint{byte(i), 1}, Origin: fmt.Sprint("o", i), First: [16]byte{byte(i)},
				FirstAt: when, State: []byte{0, byte(i)},
			}
			prints, want[id.Fingerprint] = append(prints, id.Fingerprint), id
			if err := tx.PutIdentity(id, true); err != nil {
				return err
			}
		}
		id := want[prints[7]]
		id.Alert, id.State, id.DueAt = "alt_7", []byte("new"), when
		want[prints[7]] = id
		return tx.PutIdentity(id, false)
	})
	view(t, s, func(r *store.Reader) error {
		got := must[map[hub.Fingerprint]hub.Identity](t)(r.Identities(tenant, append(prints, hub.Fingerprint{9, 9})))
		same(t, "identities", got, want2(want))
		due := must[[]hub.Identity](t)(r.DueIdentities(when, 10))
		same(t, "due identities", due, []hub.Identity{{Tenant: tenant, Fingerprint: prints[7]}})
		same(t, "due identities before their time", must[[]hub.Identity](t)(r.DueIdentities(when.Add(-time.Second), 10)), []hub.Identity(nil))
		same(t, "next due", must[time.Time](t)(r.NextIdentityDue()), when)
		return nil
	})
	do(t, s, func(tx *store.Tx) error { return tx.AddSighting(tenant, "o1", [16]byte{0, 1}, 5) })
	do(t, s, func(tx *store.Tx) error { return tx.AddSighting(tenant, "o1", [16]byte{0, 1}, 9) })
	view(t, s, func(r *store.Reader) error {
		same(t, "sighting", must[int64](t)(r.Sighted("o1", [16]byte{0, 1})), int64(9))
		same(t, "no sighting", must[int64](t)(r.Sighted("o2", [16]byte{0, 1})), int64(0))
		return nil
	})
}

// want2 leaves out what lists do not tell.
func want2(all map[hub.Fingerprint]hub.Identity) map[hub.Fingerprint]hub.Identity {
	out := map[hub.Fingerprint]hub.Identity{}
	for k, id := range all {
		id.DueAt = time.Time{}
		out[k] = id
	}
	return out
}

func tripAlert(t *testing.T, s *store.Store) {
	a := sampleAlert(1)
	change := hub.Change{Alert: a.ID, Version: 1, At: when, Actor: "source:one", Action: "created", Findings: []hub.FindingID{"fnd_1"}}
	b := *a
	b.Status, b.Version, b.RiskScore = hub.AlertResolved, 2, nil
	later := hub.Change{Alert: a.ID, Version: 2, At: when, Actor: "u", Action: "resolved", Changes: hub.Changes{"status": {"open", "resolved"}}}
	do(t, s, func(tx *store.Tx) error {
		tx.AddChange(tenant, &change)
		return putAlert(tx, a, nil)
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "alert", must[*hub.Alert](t)(r.Alert(tenant, a.ID)), a)
		_, err := r.Alert("other", a.ID)
		wantKind(t, err, hub.NotFound)
		return nil
	})
	do(t, s, func(tx *store.Tx) error {
		tx.AddChange(tenant, &later)
		return putAlert(tx, &b, a)
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "changed alert", must[*hub.Alert](t)(r.Alert(tenant, a.ID)), &b)
		same(t, "timeline", must[[]hub.Change](t)(r.Timeline(tenant, a.ID)), []hub.Change{change, later})
		return nil
	})
	wantKind(t, s.Do(t.Context(), func(tx *store.Tx) error { return putAlert(tx, sampleAlert(2), a) }), hub.NotFound)
}

func tripDelivery(t *testing.T, s *store.Store) {
	d := hub.Delivery{
		ID: "dlv_1", Tenant: tenant, Endpoint: "whk_1", Kind: hub.KindWebhook, Action: hub.ActionSend, State: hub.DeliveryPending,
		EventID: "msg_1", EventType: hub.AlertCreated, Sequence: 7, Subject: "alt_1", Run: "run_1", Step: "s", Params: []byte(`{"a":1}`),
		Options: &hub.DeliveryOptions{Timeout: hub.Duration(time.Second)}, CreatedAt: when, UpdatedAt: when, DueAt: when,
	}
	held := d
	held.ID, held.State, held.Params, held.Options = "dlv_2", hub.DeliveryHeld, nil, nil
	try := hub.Attempt{Delivery: d.ID, Number: 1, At: when, Status: 500, Verdict: "retry", Request: map[string]string{"a": "b"}}
	do(t, s, func(tx *store.Tx) error {
		tx.AddDelivery(&d)
		tx.AddDelivery(&held)
		tx.AddAttempt(tenant, &try)
		return nil
	})
	one := func(r *store.Reader) hub.Delivery { return must[hub.Delivery](t)(r.Delivery(tenant, d.ID)) }
	view(t, s, func(r *store.Reader) error {
		same(t, "delivery", one(r), d)
		same(t, "due", must[[]hub.Delivery](t)(r.DueDeliveries(d.Endpoint, when, 10)), []hub.Delivery{d})
		same(t, "not due", must[[]hub.Delivery](t)(r.DueDeliveries(d.Endpoint, when.Add(-1), 10)), []hub.Delivery(nil))
		same(t, "another's", must[[]hub.Delivery](t)(r.DueDeliveries("whk_2", when, 10)), []hub.Delivery(nil))
		same(t, "attempts", must[[]hub.Attempt](t)(r.Attempts(tenant, d.ID)), []hub.Attempt{try})
		same(t, "due endpoints", must[[]store.Due](t)(r.DueEndpoints()), []store.Due{{Endpoint: d.Endpoint, At: when}})
		return nil
	})
	until := when.Add(time.Minute)
	do(t, s, func(tx *store.Tx) error { return tx.Lease([]hub.Delivery{d}, "w1#1", until) })
	view(t, s, func(r *store.Reader) error {
		if got := one(r); got.State != hub.DeliveryDelivering || !got.DueAt.Equal(until) || got.Lease != "w1#1" {
			t.Errorf("a leased delivery is %s until %v under %s", got.State, got.DueAt, got.Lease)
		}
		same(t, "first lease", must[time.Time](t)(r.FirstLease()), until)
		same(t, "nothing waits", must[[]store.Due](t)(r.DueEndpoints()), []store.Due(nil))
		return nil
	})
	do(t, s, func(tx *store.Tx) error { return tx.EndLeases("w1", when) })
	same(t, "own lease", dueAt(t, s, d.ID), until)
	do(t, s, func(tx *store.Tx) error { return tx.EndLeasesOf("w", when) })
	same(t, "lease of one whose name is longer", dueAt(t, s, d.ID), until)
	do(t, s, func(tx *store.Tx) error { return tx.EndLeases("w2", when) })
	same(t, "lease of another", dueAt(t, s, d.ID), when)
	do(t, s, func(tx *store.Tx) error { return tx.Lease([]hub.Delivery{d}, "w2", until) })
	do(t, s, func(tx *store.Tx) error { return tx.EndLeasesOf("w2", when) })
	same(t, "lease of the dead", dueAt(t, s, d.ID), when)
	d.State, d.Attempts, d.Status, d.Error, d.Fault, d.DueAt, d.Base = hub.DeliveryDead, 3, 410, "gone", "endpoint", time.Time{}, 2
	do(t, s, func(tx *store.Tx) error {
		if n, err := tx.ReleaseHeld("whk_1", when, 10); n != 1 || err != nil {
			t.Errorf("released %d, error %v", n, err)
		}
		return tx.UpdateDelivery(&d)
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "dead delivery", one(r), d)
		same(t, "released", must[hub.Delivery](t)(r.Delivery(tenant, held.ID)).InOrder, true)
		counts := must[map[string]map[hub.DeliveryState]int64](t)(r.CountDeliveries(tenant, &store.DeliveryFilter{}))
		same(t, "counts", counts, map[string]map[hub.DeliveryState]int64{hub.KindWebhook: {hub.DeliveryDead: 1, hub.DeliveryPending: 1}})
		same(t, "filtered", len(must[[]hub.Delivery](t)(r.ListDeliveries(tenant, &store.DeliveryFilter{State: []string{"dead"}, EventID: "msg_1", Subject: "alt_1", Endpoint: "whk_1", Kind: []string{"webhook"}}, "", 0, 10))), 1)
		return nil
	})
}

func dueAt(t *testing.T, s *store.Store, id hub.DeliveryID) (at time.Time) {
	t.Helper()
	view(t, s, func(r *store.Reader) error {
		d, err := r.Delivery(tenant, id)
		at = d.DueAt
		return err
	})
	return at
}

func tripEndpoint(t *testing.T, s *store.Store) {
	e := &hub.Endpoint{
		ID: "whk_1", Tenant: tenant, Kind: hub.KindWebhook, Name: "siem", URL: "https://example.com", Enabled: true, Events: []string{"alert.*"},
		Retry: &hub.RetryPolicy{Jitter: new(0.2)}, CreatedAt: when, UpdatedAt: when, Version: 1,
		Secrets: hub.EndpointSecrets{Signing: []hub.SigningSecret{{Text: "whsec_x", Expires: when}}, Tokens: map[string]string{"t": "x"}},
	}
	do(t, s, func(tx *store.Tx) error { return tx.PutEndpoint(e, store.OriginConfig) })
	changed := *e
	changed.Name, changed.Version = "soc", 2
	do(t, s, func(tx *store.Tx) error { return tx.PutEndpoint(&changed, store.OriginAPI) })
	view(t, s, func(r *store.Reader) error {
		same(t, "endpoint", must[*hub.Endpoint](t)(r.Endpoint(tenant, e.ID)), &changed)
		same(t, "all endpoints", must[[]*hub.Endpoint](t)(r.Endpoints("")), []*hub.Endpoint{&changed})
		same(t, "another's endpoints", must[[]*hub.Endpoint](t)(r.Endpoints("other")), []*hub.Endpoint(nil))
		same(t, "origin", must[map[hub.EndpointID]string](t)(r.EndpointOrigins(tenant)), map[hub.EndpointID]string{e.ID: store.OriginConfig})
		return nil
	})
	twin := changed
	twin.ID = "whk_2"
	wantKind(t, s.Do(t.Context(), func(tx *store.Tx) error { return tx.PutEndpoint(&twin, store.OriginAPI) }), hub.Conflict)
	do(t, s, func(tx *store.Tx) error { return tx.DeleteEndpoint(tenant, e.ID) })
	wantKind(t, s.Do(t.Context(), func(tx *store.Tx) error { return tx.DeleteEndpoint(tenant, e.ID) }), hub.NotFound)
}

func tripRun(t *testing.T, s *store.Store) {
	run := hub.RunRecord{ID: "run_1", Tenant: tenant, Playbook: "p", Version: "v1", Alert: "alt_1", State: hub.RunWaiting, DueAt: when, EventSeq: 3, Doc: []byte("{}")}
	do(t, s, func(tx *store.Tx) error {
		tx.AddRun(&run)
		for range 2 { // the same version twice is one
			if err := tx.PutPlaybookVersion(tenant, "p", "v1", []byte("text"), when); err != nil {
				return err
			}
		}
		return tx.AddPlaybookStart(tenant, "p", "k", when)
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "due runs", must[[]hub.RunRecord](t)(r.DueRuns(when, 5)), []hub.RunRecord{run})
		same(t, "next run", must[time.Time](t)(r.NextRunDue()), when)
		same(t, "version", must[[]byte](t)(r.PlaybookVersion(tenant, "p", "v1")), []byte("text"))
		same(t, "starts", must[[]time.Time](t)(r.PlaybookStarts(tenant, "p", "k", when)), []time.Time{when})
		return nil
	})
	run.State, run.DueAt, run.Doc = hub.RunDone, time.Time{}, []byte(`{"x":1}`)
	do(t, s, func(tx *store.Tx) error { return tx.UpdateRun(&run) })
	view(t, s, func(r *store.Reader) error {
		same(t, "run", must[hub.RunRecord](t)(r.Run(tenant, run.ID)), run)
		same(t, "runs", must[[]hub.RunRecord](t)(r.ListRuns(tenant, "", 5)), []hub.RunRecord{run})
		same(t, "due runs", must[[]hub.RunRecord](t)(r.DueRuns(when.Add(time.Hour), 5)), []hub.RunRecord(nil))
		_, err := r.Run("other", run.ID)
		wantKind(t, err, hub.NotFound)
		return nil
	})
}

func tripAccess(t *testing.T, s *store.Store) {
	key := store.KeyRow{ID: "key_1", Tenant: tenant, Hash: []byte{0, 1, 2}, Name: "n", Role: "admin", User: "usr_1", CreatedAt: when}
	do(t, s, func(tx *store.Tx) error { return tx.PutKey(&key) })
	key.RevokedAt, key.ExpiresAt, key.Role = when, when, "viewer"
	do(t, s, func(tx *store.Tx) error {
		if err := tx.AddUser(&store.UserRow{ID: "usr_1", Tenant: tenant, Email: "a@example.com", Role: "owner", CreatedAt: when, Active: true}); err != nil {
			return err
		}
		return tx.PutKey(&key)
	})
	view(t, s, func(r *store.Reader) error {
		got, found, err := r.KeyByHash([]byte{0, 1, 2})
		if !found || err != nil {
			t.Errorf("the key is found: %v, error %v", found, err)
		}
		same(t, "key", got, key)
		same(t, "keys", must[[]store.KeyRow](t)(r.Keys(tenant)), []store.KeyRow{key})
		if _, found, err := r.KeyByHash([]byte{9}); found || err != nil {
			t.Errorf("an unknown key is found: %v, error %v", found, err)
		}
		same(t, "users", must[int64](t)(r.CountUsers(tenant)), int64(1))
		return nil
	})
}

func tripSmall(t *testing.T, s *store.Store) {
	first := store.IdempotencyRow{Request: []byte{1}, Status: 202, Response: []byte(`{"id":"x"}`), At: when}
	con := store.ConnectorRow{Cursor: []byte("c"), Paused: true, At: when}
	do(t, s, func(tx *store.Tx) error {
		if err := tx.PutIdempotent(tenant, "k", first); err != nil {
			return err
		}
		if err := tx.PutConnector(tenant, "c", store.ConnectorRow{At: when}); err != nil {
			return err
		}
		if err := tx.PutConnector(tenant, "c", con); err != nil {
			return err
		}
		return tx.PutMeta("m", "v")
	})
	view(t, s, func(r *store.Reader) error {
		got, found, err := r.Idempotent(tenant, "k")
		if !found || err != nil {
			t.Errorf("the answer is found: %v, error %v", found, err)
		}
		same(t, "first answer", got, first)
		same(t, "connector", must[store.ConnectorRow](t)(r.Connector(tenant, "c")), con)
		same(t, "no connector", must[store.ConnectorRow](t)(r.Connector(tenant, "d")), store.ConnectorRow{})
		same(t, "meta", must[string](t)(r.Meta("m")), "v")
		return nil
	})
	do(t, s, func(tx *store.Tx) error {
		for i := range 5 {
			row := store.IdempotencyRow{Request: []byte{1}, Response: []byte{}, At: when.Add(time.Duration(i+1) * time.Second)}
			if err := tx.PutIdempotent(tenant, fmt.Sprint("later", i), row); err != nil {
				return err
			}
		}
		n, err := tx.ForgetIdempotent(when.Add(4*time.Second), 3)
		n2, err2 := tx.ForgetIdempotent(when.Add(4*time.Second), 3)
		n3, err3 := tx.ForgetIdempotent(when.Add(4*time.Second), 3)
		same(t, "forgotten", []int64{n, n2, n3}, []int64{3, 1, 0})
		return errors.Join(err, err2, err3)
	})
	view(t, s, func(r *store.Reader) error {
		if _, found, err := r.Idempotent(tenant, "k"); found || err != nil {
			t.Errorf("a forgotten answer is found: %v, error %v", found, err)
		}
		return nil
	})
}
