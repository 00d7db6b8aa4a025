package edgetelemetry

import (
	"cmp"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
	sim "github.com/tocsin/tocsin/test/sim/edgetelemetry"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const config1 = "{name: edgetelemetry, kind: edgetelemetry, base_url: " + connectortest.BaseURL + "/api/v1, email: " + sim.DefaultEmail +
	", password: " + sim.DefaultPassword + ", totp_secret: " + sim.DefaultSecret + "}"

func openFor(client *http.Client, log *slog.Logger) (connectors.Source, error) {
	s := connectortest.Settings(config1)
	s.Client, s.Log = client, log
	return Open(s)
}

func TestPull(t *testing.T) {
	connectortest.Pull(t, connectortest.Case{
		New: func(seed uint64) connectortest.Far {
			return far(seed, sim.Options{MFA: true, TokenLife: 3 * time.Minute})
		},
		Open: openFor, Secrets: []string{sim.DefaultPassword, sim.DefaultSecret, "eyJhbGciOiJIUzI1NiI"}, Seen: seen, Items: 150,
		Lists: []string{"data", "alerts", "incidents", "entries", "logs", "summaries"},
	})
}

// TestPullUnordered is the same where lists come in any order.
func TestPullUnordered(t *testing.T) {
	connectortest.Many(t, connectortest.Case{
		New:  func(seed uint64) connectortest.Far { return far(seed, sim.Options{Unordered: true}) },
		Open: openFor, Seen: seen, Items: 600,
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

// seen is an item's state as far as it is followed.
func seen(f hub.Finding) string {
	kind, _, _ := strings.Cut(f.SourceID, "|")
	if kind == "audit" || kind == "summary" {
		return string(f.Status)
	}
	return state(f.Labels["edgetelemetry_status"], string(f.Severity))
}

func state(status, severity string) string {
	if status == "resolved" {
		return status
	}
	return status + " " + severity
}

func far(seed uint64, o sim.Options) connectortest.Far {
	o.Options = unkind.Options{Seed: seed}
	s := sim.New(o)
	return connectortest.Far{
		Handler: s, Kind: s.Be, Token: func(good bool) { s.Refuse(!good) },
		Add: func(n int) {
			alerts, incidents := s.Add(n)
			for i, id := range alerts {
				if i%7 == 3 { // over before anybody could see it open
					s.SetAlert(id, "resolved", "")
				}
			}
			for i, id := range incidents {
				if i%5 == 3 {
					s.SetIncident(id, "resolved", "")
				}
			}
		},
		Change: func(r *rand.Rand) { change(s, r) },
		State:  func() map[string]string { return states(s) },
		Violations: func() []string {
			var out []string
			for _, v := range s.Violations() {
				out = append(out, v.String())
			}
			return out
		},
	}
}

func change(s *sim.Sim, r *rand.Rand) {
	severity := []string{"", "", "critical", "low"}[r.IntN(4)]
	if all := s.Alerts(); r.IntN(3) > 0 && len(all) > 0 {
		s.SetAlert(all[r.IntN(len(all))].ID, []string{"fired", "acknowledged", "resolved"}[r.IntN(3)], severity)
		return
	}
	if all := s.Incidents(); len(all) > 0 {
		s.SetIncident(all[r.IntN(len(all))].ID, []string{"open", "investigating", "resolved"}[r.IntN(3)], severity)
	}
}

// states gives every item that becomes a finding. The summaries of an agent are
// one story, told in the order of their times.
func states(s *sim.Sim) map[string]string {
	out := map[string]string{}
	for _, a := range s.Alerts() {
		out[inbound.Key("alert", a.ID)] = state(a.Status, a.Severity)
	}
	for _, x := range s.Incidents() {
		out[inbound.Key("incident", x.ID)] = state(x.Status, x.Severity)
	}
	for _, e := range s.Audit() {
		exported, _ := path.Match("*export*", e.Action)
		if e.Status == 401 || e.UserEmail != sim.DefaultEmail && (exported || e.Action == "delete_user") {
			out[inbound.Key("audit", e.ID)] = "open"
		}
	}
	summaries := s.SummaryList()
	slices.SortStableFunc(summaries, func(a, b sim.Summary) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	open, last := map[string]bool{}, map[string]time.Time{}
	for _, x := range summaries {
		switch {
		case x.Anomalies > 0:
			out[inbound.Key("summary", x.ID)], open[x.AgentID] = "open", true
		case open[x.AgentID] && x.CreatedAt.After(last[x.AgentID]):
			out[inbound.Key("summary", x.ID)], open[x.AgentID] = "resolved", false
		}
		last[x.AgentID] = x.CreatedAt
	}
	return out
}
