package app

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/drivertest"
	"github.com/tocsin/tocsin/test/report"
)

// The writes of accepting, triaging, delivering, failing and delivering again fail
// one after the other, before they happened and after, once and for a while. What
// was accepted is delivered; every request that was made has its record, and with it
// what follows; nothing is sent again and again; and the log is whole.
func TestEveryWriteOfADeliveryFails(t *testing.T) {
	rep := report.Of(t, 10)
	var faulty *drivertest.Faulty
	r := &running{t: t, out: bytes.Buffer{}}
	var err error
	cfg := load(t, t.TempDir(), "relay: {schedule: [100ms, 100ms], jitter: 0, breaker: 1000}\n")
	if r.App, err = New(t.Context(), Options{
		Config: cfg, Version: "test", Log: slog.New(slog.DiscardHandler), Env: func(n string) string { return withKey[n] }, Out: io.Discard,
		engine: func(e driver.Engine) driver.Engine { faulty = &drivertest.Faulty{Engine: e}; return faulty },
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	seen := map[string]int{} // requests by alert
	f := newFar(t, nil)
	f.say(func(_ int, e *hub.Event) int {
		if seen[e.Subject]++; seen[e.Subject] == 1 {
			return 500
		}
		return 204
	})
	hook := r.webhook(f.URL, "")
	tried, hit, refused := 0, map[string]int{}, 0
	for _, c := range []struct {
		name    string
		kind    driver.Kind
		applied bool
		few     int
	}{
		{"disk full", driver.Full, false, 0},
		{"disk full for a while", driver.Full, false, 5},
		{"disk error, yet written", driver.IO, true, 0},
		{"in the way", driver.Busy, false, 3},
	} {
		for n := 1; n <= 45; n += report.Size(15, 1) {
			faulty.Arm(n, c.kind, c.applied, c.few)
			tried++
			for taken := false; !taken; {
				status, answer := r.do("POST", "/api/v1/findings", testKey, fmt.Sprintf(`{"type":"xss","asset_id":"web-%d","severity":"high"}`, tried))
				switch taken = status == http.StatusAccepted; {
				case taken:
				case status == http.StatusServiceUnavailable:
					refused++
					f.eventually(t, "the store is well again", func() bool { return r.st.Health() == nil })
				default:
					t.Fatalf("%s at write %d: a finding is answered %d %s", c.name, n, status, answer)
				}
			}
			f.eventually(t, fmt.Sprintf("%s at write %d (%s): all is delivered", c.name, n, faulty.Hit()), func() bool {
				return r.st.Health() == nil && r.states(hook.ID)[hub.DeliverySucceeded] == int64(tried)
			})
			if h := faulty.Hit(); h != "" {
				hit[h]++
			}
		}
	}
	faulty.Arm(0, "", false, 0)
	requests, records := recorded(t, r, seen)
	if status, answer := r.do("GET", "/api/v1/audit/verify", testKey, ""); status != 200 || !strings.Contains(answer, `"intact"`) {
		t.Errorf("the log is verified as %d %s", status, answer)
	}
	rep.Figure("faults", tried)
	rep.Figure("writes_hit", len(hit))
	rep.Figure("posts_answered_503", refused)
	rep.Figure("requests", requests)
	rep.Figure("attempts_recorded", records)
	if len(hit) < report.Size(3, 10) {
		t.Errorf("only %d different writes were made to fail: %v", len(hit), hit)
	}
}

// recorded holds attempts, deliveries and the audit log against each other and
// against the requests that came.
func recorded(t *testing.T, r *running, seen map[string]int) (requests, records int) {
	t.Helper()
	audited := map[string]int{}
	err := r.st.View(t.Context(), func(rd *store.Reader) error {
		err := rd.AuditEntries(hub.DefaultTenant, 0, 1<<40, func(e hub.SealedEntry) bool {
			var x struct {
				Action   string `json:"action"`
				Resource string `json:"resource_id"`
				Details  struct {
					Number  int    `json:"number"`
					Record  string `json:"record"`
					Verdict string `json:"verdict"`
				} `json:"details"`
			}
			if err := json.Unmarshal(e.Bytes, &x); err != nil {
				t.Error(err)
			}
			if x.Action == "delivery.attempt" && x.Details.Verdict != "late" {
				audited[fmt.Sprint(x.Resource, " ", x.Details.Number)]++
			}
			return true
		})
		if err != nil {
			return err
		}
		all, err := rd.ListDeliveries(hub.DefaultTenant, &store.DeliveryFilter{}, "", 0, 1<<20)
		for i := range all {
			d := &all[i]
			log, err := rd.Attempts(hub.DefaultTenant, d.ID)
			if err != nil {
				return err
			}
			records += len(log)
			var verdicts []string
			for n, a := range log {
				verdicts = append(verdicts, a.Verdict)
				if a.Number != n+1 || audited[fmt.Sprint(d.ID, " ", a.Number)] != 1 {
					t.Errorf("%s: attempt %d is recorded as %d and %d times in the audit log", d.ID, n+1, a.Number, audited[fmt.Sprint(d.ID, " ", a.Number)])
				}
			}
			// A request whose record could not be stored in time may be made once more.
			came := seen[d.Subject]
			requests += came
			if got := strings.Join(verdicts, " "); got != "retry succeeded" || d.Attempts != len(log) || came < len(log) || came > len(log)+1 {
				t.Errorf("%s: %d attempts, recorded are %q, %d requests came", d.ID, d.Attempts, got, came)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return requests, records
}
