package echelongraph

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/echelongraph"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

var created = string(sim.Event("evt_1", "alert.created", time.Unix(1_770_000_000, 0), map[string]any{
	"id": "alr_1", "title": "x", "severity": "high", "status": "open", "asset_id": "a", "created_at": "2026-05-22T10:00:00Z",
}))

func header(body string) http.Header {
	h := http.Header{}
	h.Set("X-EchelonGraph-Signature", sim.Sign(webhookSecret, []byte(body)))
	return h
}

func TestReceive(t *testing.T) {
	s := opened(t, config1, &http.Client{}, nil)
	prefixed := header(created)
	prefixed.Set("X-EchelonGraph-Signature", "sha256="+prefixed.Get("X-EchelonGraph-Signature"))
	connectortest.Receive(t, s,
		connectortest.Push{Name: "hex", Body: []byte(created), Header: header(created), Signed: "X-EchelonGraph-Signature", Want: 1},
		connectortest.Push{Name: "with a prefix", Body: []byte(created), Header: prefixed, Signed: "X-EchelonGraph-Signature", Want: 1},
	)
}

// TestKnownSignature was computed with another program's HMAC (openssl dgst).
func TestKnownSignature(t *testing.T) {
	s := opened(t, config1, &http.Client{}, nil)
	if !s.signed("3e68b7ac0289c5d33f8f7d82f4db1d6d2eb10768aef72c9d0a20c81b30e8c6fb", []byte(`{"type":"alert.created"}`)) {
		t.Error("a signature made by openssl is refused")
	}
}

func TestEvents(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       string // of the finding, "" for none
		rejects    int
		woken      int
		kind       hub.Kind
	}{
		{"alert", `{"type":"alert.created","data":{"id":"1","severity":"low","status":"open","created_at":"2026-05-22T10:00:00Z"}}`, "alert|1 open low 10:00:00", 0, 0, ""},
		{"resolution", `{"type":"alert.resolved","created_at":"2026-05-22T11:00:00Z","data":{"id":"1","severity":"low","status":"open"}}`, "alert|1 resolved low 11:00:00", 0, 0, ""},
		{"resolution with its time", `{"type":"alert.resolved","created_at":"2026-05-22T11:00:00Z","data":{"id":"1","severity":"low","status":"dismissed","updated_at":"2026-05-22T10:59:00Z"}}`, "alert|1 resolved low 10:59:00", 0, 0, ""},
		{"incident", `{"type":"incident.created","timestamp":"2026-05-22T11:00:00Z","data":{"id":"7","severity":"critical"}}`, "incident|7 open critical 11:00:00", 0, 0, ""},
		{"drift", `{"type":"compliance.drift","created_at":"2026-05-22T11:00:00Z","data":{"framework":"SOC 2","score":88,"previous_score":90}}`, "compliance|SOC 2 open medium 11:00:00", 0, 1, ""},
		{"scan", `{"type":"scan.completed","data":{}}`, "", 0, 1, ""},
		{"score", `{"type":"compliance.score_changed","data":{"framework":"SOC 2","score":88}}`, "", 0, 1, ""},
		{"unknown type", `{"type":"user.created","data":{}}`, "", 1, 0, ""},
		{"alert without id", `{"type":"alert.created","data":{"severity":"low"}}`, "", 1, 0, ""},
		{"drift of nothing", `{"type":"compliance.drift","data":{"score":1}}`, "", 1, 0, ""},
		{"no object", `[1]`, "", 0, 0, hub.Malformed},
		{"a name twice", `{"type":"alert.created","type":"alert.resolved"}`, "", 0, 0, hub.Malformed},
	} {
		woken := 0
		s := opened(t, config1, &http.Client{}, func() { woken++ })
		b, err := s.Receive(t.Context(), connectors.Request{Header: header(tt.body), Body: []byte(tt.body)})
		got := ""
		for _, f := range b.Findings {
			got += fmt.Sprintf("%s %s %s %s", f.SourceID, f.Status, f.Severity, f.ObservedAt.Format(time.TimeOnly))
		}
		if got != tt.want || len(b.Rejects) != tt.rejects || hub.KindOf(err) != tt.kind || woken != tt.woken {
			t.Errorf("%s: %q, %v, %v, woken %d", tt.name, got, b.Rejects, err, woken)
		}
	}
}

func TestNoSecretMeansNoWebhooks(t *testing.T) {
	s := opened(t, strings.Replace(config1, ", webhook_secret: "+webhookSecret, "", 1), &http.Client{}, nil)
	h := http.Header{}
	h.Set("X-EchelonGraph-Signature", sim.Sign("", []byte(created)))
	if _, err := s.Receive(t.Context(), connectors.Request{Header: h, Body: []byte(created)}); hub.KindOf(err) != hub.Unauthorized {
		t.Errorf("signed with an empty secret: %v, want it refused", err)
	}
}

// TestDriftThatIsOver: an event opens a finding that the pull does not share.
func TestDriftThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sim.Options{}, "")
		b.pull(t)
		body := string(sim.Event("e", "compliance.drift", time.Now(), map[string]any{"framework": "SOC 2", "score": 80, "previous_score": 90}))
		batch, err := b.source.Receive(t.Context(), connectors.Request{Header: header(body), Body: []byte(body)})
		if err != nil || len(batch.Findings) != 1 {
			t.Fatalf("%+v, %v", batch, err)
		}
		b.said("")
		b.pull(t) // it is back at 90
		f := b.finding(t, "compliance|SOC 2")
		if f.Status != hub.FindingResolved || !f.ObservedAt.After(batch.Findings[0].ObservedAt) {
			t.Errorf("the pull says %+v", f)
		}
		b.said("")
		b.pull(t)
		if got := b.said("compliance"); got != "" {
			t.Errorf("and again: %q", got)
		}
	})
}

// A stage is a fleet with one connector before an unkind simulator.
type stage struct {
	sim   *sim.Sim
	fleet *connectors.Fleet
	store *connectortest.Store
}

// onStage runs a fleet in a bubble. The interval is long, so that what comes
// quickly came as an event or was fetched because of one.
func onStage(t *testing.T, kind bool, check func(*stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{sim: sim.New(sim.Options{Options: unkind.Options{Kind: kind, Seed: 3}, TokenLife: 20 * time.Minute}), store: connectortest.NewStore()}
		wire := connectortest.Connect(s.sim)
		defer wire.Close()
		settings := connectortest.Settings(strings.TrimSuffix(config1, "}") + ", interval: 24h}")
		var err error
		s.fleet, err = connectors.Open(connectors.FleetConfig{
			Kinds: []connectors.Kind{Kind()}, Store: s.store, Client: wire.Client(), Log: slog.New(slog.DiscardHandler),
			Entries: []connectors.Entry{{
				Common: connectors.Common{Name: "echelongraph", Kind: "echelongraph", Interval: hub.Duration(24 * time.Hour)}, Config: settings.Config,
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); s.fleet.Run(ctx) }()
		time.Sleep(time.Minute)
		check(s)
		cancel()
		<-ended
		if err := s.fleet.Close(); err != nil {
			t.Error(err)
		}
	})
}

// has says how often the store has an alert, as the hub would count it.
func (s *stage) has(id, status string) bool {
	for _, f := range s.store.Findings() {
		if f.SourceID == "alert|"+id && string(f.Status) == status {
			return true
		}
	}
	return false
}

func TestEventsArriveAtOnce(t *testing.T) {
	onStage(t, true, func(s *stage) {
		if n := s.sim.Listeners(); n != 1 {
			t.Fatalf("%d event connections, want 1", n)
		}
		id := s.sim.AddItem("alerts", sim.Item{Severity: "low"}).ID
		synctest.Wait()
		if !s.has(id, "open") {
			t.Error("the alert did not come by its event")
		}
		s.sim.Change("alerts", id, "resolved", "")
		synctest.Wait()
		if !s.has(id, "resolved") {
			t.Error("the resolution did not come by its event")
		}
		time.Sleep(10 * time.Minute) // longer than the client's time limit
		if n := s.sim.Listeners(); n != 1 {
			t.Errorf("%d event connections after ten quiet minutes", n)
		}
		// What events only hint at is fetched.
		vul := s.sim.AddItem("vulnerabilities", sim.Item{}).ID
		s.sim.Scan()
		time.Sleep(time.Second)
		found := false
		for _, f := range s.store.Findings() {
			found = found || f.SourceID == "vulnerability|"+vul
		}
		if !found {
			t.Error("a scan was completed, and nobody looked")
		}
		for _, v := range s.sim.Violations() {
			t.Errorf("violation: %s", v)
		}
	})
}

// TestGapIsFilled: what happens while there is no connection is fetched when
// there is one again.
func TestGapIsFilled(t *testing.T) {
	onStage(t, true, func(s *stage) {
		s.sim.Drop()
		synctest.Wait()
		id := s.sim.AddItem("alerts", sim.Item{Severity: "low"}).ID
		if s.has(id, "open") {
			t.Fatal("arrived without a connection")
		}
		time.Sleep(2 * time.Second)
		if s.sim.Listeners() != 1 || !s.has(id, "open") {
			t.Errorf("two seconds later: %d connections, arrived %v", s.sim.Listeners(), s.has(id, "open"))
		}
		for range 5 { // tokens end
			time.Sleep(21 * time.Minute)
			if n := s.sim.Listeners(); n != 1 {
				t.Errorf("%d connections after the token's end", n)
			}
		}
		if st := s.fleet.List(hub.DefaultTenant)[0]; !st.Listens || !st.Pulls || !st.Receives || st.LastError != nil {
			t.Errorf("state %+v", st)
		}
	})
}

// TestEventsThroughTrouble: connections break all the time, and everything
// arrives long before the next pull is due.
func TestEventsThroughTrouble(t *testing.T) {
	onStage(t, false, func(s *stage) {
		ids := []string{}
		for range 300 {
			ids = append(ids, s.sim.AddItem("alerts", sim.Item{Severity: "low"}).ID)
			time.Sleep(time.Duration(1+s.sim.IntN(60)) * time.Second)
			if s.sim.IntN(20) == 0 {
				s.sim.Drop()
			}
		}
		s.sim.Be(true)
		time.Sleep(10 * time.Minute)
		lost := 0
		for _, id := range ids {
			if !s.has(id, "open") {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d alerts did not arrive", lost, len(ids))
		}
		for _, v := range s.sim.Violations() {
			t.Errorf("violation: %s", v)
		}
	})
}

// TestEventThatCannotBeStored: the connection ends, and the pull brings it.
func TestEventThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.New(sim.Options{Options: unkind.Options{Kind: true}})
		wire := connectortest.Connect(far)
		defer wire.Close()
		live := Live{opened(t, config1, wire.Client(), nil)}
		serve, err := live.Listen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			ended <- serve(t.Context(), func(context.Context, connectors.Batch) (connectors.Receipt, error) {
				return connectors.Receipt{}, hub.E(hub.Transient, "the store is not there")
			})
		}()
		far.AddItem("alerts", sim.Item{})
		if err := <-ended; hub.KindOf(err) != hub.Transient {
			t.Errorf("ended with %v", err)
		}
		synctest.Wait()
		if n := far.Listeners(); n != 0 {
			t.Errorf("%d connections are left open", n)
		}
	})
}

// TestListenRefused: each refusal has its kind, and none shows the token.
func TestListenRefused(t *testing.T) {
	for status, want := range map[int]hub.Kind{
		401: hub.Unauthorized, 403: hub.Forbidden, 404: hub.NotFound, 429: hub.RateLimited, 500: hub.Transient, 301: hub.Transient, 200: hub.Transient,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, sim.Options{}, "")
			b.edit = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/v1/events" {
					return false
				}
				w.Header().Set("Retry-After", "7")
				w.Header().Set("Location", "http://elsewhere.example/")
				w.WriteHeader(status)
				fmt.Fprint(w, r.Header)
				return true
			}
			_, err := Live{b.source}.Listen(t.Context())
			if hub.KindOf(err) != want || strings.Contains(fmt.Sprint(err), "eg_access") {
				t.Errorf("status %d: %v, want kind %s", status, err, want)
			}
			if status == 429 && retry(err) != 7*time.Second {
				t.Errorf("status 429: retry after %v", retry(err))
			}
		})
	}
}
