package echelongraph

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
	sim "github.com/tocsin/tocsin/test/sim/echelongraph"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const webhookSecret = "whs_5Jd8sK2lQ0"

const config1 = "{name: echelongraph, kind: echelongraph, base_url: " + connectortest.BaseURL + "/v1, email: " + sim.DefaultEmail +
	", password: " + sim.DefaultPassword + ", totp_secret: " + sim.DefaultSecret + ", webhook_secret: " + webhookSecret + "}"

func openFor(client *http.Client, log *slog.Logger) (connectors.Source, error) {
	s := connectortest.Settings(config1)
	s.Client, s.Log = client, log
	return Open(s)
}

func TestPull(t *testing.T) {
	connectortest.Pull(t, connectortest.Case{
		New: func(seed uint64) connectortest.Far {
			return far(seed, sim.Options{MFA: true, TokenLife: 3 * time.Minute, Plan: "free"})
		},
		Open: openFor, Secrets: []string{sim.DefaultPassword, sim.DefaultSecret, webhookSecret, "eg_access", "eg_refresh", "mfa_0"},
		Seen: seen, Items: 150, Lists: []string{"data"},
	})
}

// TestPullMany lives through the same with many more items.
func TestPullMany(t *testing.T) {
	items := 10_000
	if testing.Short() {
		items = 1_000
	}
	connectortest.Many(t, connectortest.Case{
		New:  func(seed uint64) connectortest.Far { return far(seed, sim.Options{MFA: true, TokenLife: time.Minute}) },
		Open: openFor, Seen: seen, Items: items,
	})
}

// seen is an item's state as far as it is followed, with the time of its change.
func seen(f hub.Finding) string {
	return state(f.Labels["echelongraph_status"], string(f.Severity), f.ObservedAt)
}

func state(status, severity string, at time.Time) string {
	switch status {
	case "resolved", "dismissed", "closed", "ignored":
		return "closed"
	}
	return status + " " + severity + " " + at.UTC().Format(time.DateTime)
}

var listNames = []string{"alerts", "detections", "incidents", "vulnerabilities"}

// prefixes are how a list's findings are known.
var prefixes = map[string]string{"alerts": "alert", "detections": "alert", "incidents": "incident", "vulnerabilities": "vulnerability"}

// words are the statuses of each list.
var words = map[string][]string{
	"alerts": {"open", "acknowledged", "resolved", "dismissed"}, "detections": {"open", "acknowledged", "resolved", "dismissed"},
	"incidents": {"open", "investigating", "resolved", "closed"}, "vulnerabilities": {"open", "in_progress", "resolved", "ignored"},
}

func far(seed uint64, o sim.Options) connectortest.Far {
	o.Options = unkind.Options{Seed: seed}
	s := sim.New(o)
	return connectortest.Far{
		Handler: s, Kind: s.Be, Token: func(good bool) { s.Refuse(!good) },
		Add: func(n int) {
			for list, ids := range s.Add(n) {
				for i, id := range ids {
					if i%7 == 3 { // over before anybody could see it open
						s.Change(list, id, "resolved", "")
					}
				}
			}
		},
		Change: func(r *rand.Rand) {
			for range 10 {
				list := listNames[r.IntN(4)]
				all := s.Items(list)
				if len(all) == 0 {
					continue
				}
				severities := []string{"", "", "critical", "low"}
				s.Change(list, all[r.IntN(len(all))].ID, words[list][r.IntN(4)], severities[r.IntN(4)])
				return
			}
		},
		State: func() map[string]string {
			out := map[string]string{}
			for _, list := range listNames {
				for _, x := range s.Items(list) {
					out[inbound.Key(prefixes[list], x.ID)] = state(x.Status, x.Severity, x.UpdatedAt)
				}
			}
			for _, e := range s.Audit() {
				if e.Action == "auth.login_failed" {
					out[inbound.Key("audit", e.ID)] = state("", "medium", e.CreatedAt)
				}
			}
			return out
		},
		Violations: func() []string {
			var out []string
			for _, v := range s.Violations() {
				out = append(out, v.String())
			}
			return out
		},
	}
}
