package vigilare

import (
	"fmt"
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
	"github.com/tocsin/tocsin/test/sim/unkind"
	sim "github.com/tocsin/tocsin/test/sim/vigilare"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const config1 = "{name: vigilare, kind: vigilare, base_url: " + connectortest.BaseURL + ", email: " + sim.DefaultEmail + ", password: " + sim.DefaultPassword + "}"

func openFor(client *http.Client, log *slog.Logger) (connectors.Source, error) {
	s := connectortest.Settings(config1)
	s.Client, s.Log = client, log
	return Open(s)
}

func TestPull(t *testing.T) {
	connectortest.Pull(t, connectortest.Case{
		New: func(seed uint64) connectortest.Far { return far(seed, sim.Options{TokenLife: 2 * time.Minute}) }, Open: openFor,
		Secrets: []string{sim.DefaultPassword, "eyJhbGciOiJSUzI1NiJ9"}, Seen: seen, Items: 150,
		Lists: []string{"alerts", "signals"},
	})
}

// TestPullMany lives through the same with many more items.
func TestPullMany(t *testing.T) {
	items := 10_000
	if testing.Short() {
		items = 1_000
	}
	connectortest.Many(t, connectortest.Case{
		New: func(seed uint64) connectortest.Far {
			return far(seed, sim.Options{TokenLife: time.Minute, PerMinute: 3000})
		},
		Open: openFor, Seen: seen, Items: items,
	})
}

// seen is what the kit compares.
func seen(f hub.Finding) string {
	switch {
	case f.Labels["vigilare_alert_id"] != "":
		return fmt.Sprintf("%s acknowledged=%v", f.Status, !f.AcknowledgedAt.IsZero())
	case f.Labels["vigilare_signal_id"] != "" && f.Status == hub.FindingOpen:
		return "open " + string(f.Severity)
	}
	return string(f.Status)
}

// secondAccount is what the far side has beside sim.DefaultAccount: one whose
// score is low for good, so that its alerts stay.
const secondAccount = "210987654321"

func far(seed uint64, o sim.Options) connectortest.Far {
	o.Options = unkind.Options{Seed: seed}
	s := sim.New(o)
	s.PutAccount(sim.Account{ID: secondAccount, DisplayName: "Staging", Status: "ACTIVE"})
	s.PutAccount(sim.Account{ID: "333333333333", DisplayName: "Not there yet", Status: "PENDING"})
	s.SetScore(secondAccount, 35)
	return connectortest.Far{
		Handler: s, Kind: s.Be, Token: func(good bool) { s.Refuse(!good) },
		Add: func(n int) {
			for i, id := range s.Add(n) {
				if i%7 == 3 { // over before anybody could see it open
					s.Resolve(id, true)
				}
			}
		},
		Change: func(r *rand.Rand) { change(s, r) },
		State:  func() map[string]string { return state(s) },
		Violations: func() []string {
			var out []string
			for _, v := range s.Violations() {
				out = append(out, v.String())
			}
			return out
		},
	}
}

var words = map[string]hub.Severity{"CRITICAL": hub.Critical, "HIGH": hub.High, "MEDIUM": hub.Medium, "LOW": hub.Low}

func change(s *sim.Sim, r *rand.Rand) {
	if r.IntN(5) == 0 {
		all := s.Alerts()
		s.Ack(all[r.IntN(len(all))].ID)
		return
	}
	for account, list := range s.Signals() {
		if len(list) == 0 || account == secondAccount && r.IntN(2) == 0 {
			continue
		}
		g := list[r.IntN(len(list))]
		switch r.IntN(3) {
		case 0:
			s.Resolve(g.ID, true)
		default:
			if g.ResolvedAt == nil {
				s.SetSeverity(g.ID, []string{"CRITICAL", "HIGH", "MEDIUM", "LOW"}[r.IntN(4)])
			}
		}
		return
	}
}

func state(s *sim.Sim) map[string]string {
	out := map[string]string{inbound.Key("score", secondAccount): "open"}
	for account, list := range s.Signals() {
		for _, g := range list {
			what := "open " + string(words[g.Severity])
			if g.ResolvedAt != nil {
				what = "resolved"
			}
			out[inbound.Key(account, g.Scenario, g.ID)] = what
		}
	}
	for _, a := range s.Alerts() {
		out[inbound.Key("alert", a.ID)] = fmt.Sprintf("open acknowledged=%v", a.AcknowledgedAt != nil)
	}
	return out
}
