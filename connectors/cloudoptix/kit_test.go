package cloudoptix

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
	sim "github.com/tocsin/tocsin/test/sim/cloudoptix"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const config1 = "{name: cloudoptix, kind: cloudoptix, base_url: " + connectortest.BaseURL + ", api_key: " + sim.DefaultKey + "}"

func openFor(client *http.Client, log *slog.Logger) (connectors.Source, error) {
	s := connectortest.Settings(config1)
	s.Client, s.Log = client, log
	return Open(s)
}

func TestPull(t *testing.T) {
	connectortest.Pull(t, connectortest.Case{
		New: func(seed uint64) connectortest.Far { return far(seed, sim.Options{}) }, Open: openFor, Seen: seen, Secrets: []string{sim.DefaultKey}, Items: 150,
		Lists: []string{"data"},
	})
}

// TestPullMany lives through the same with many more alerts, sorted in each way
// that the simulator knows.
func TestPullMany(t *testing.T) {
	for order, items := range []int{10_000, 2_000, 2_000} {
		if testing.Short() {
			items = 1_000
		}
		connectortest.Many(t, connectortest.Case{
			New:  func(seed uint64) connectortest.Far { return far(seed*3+uint64(order), sim.Options{}) },
			Open: openFor, Seen: seen, Items: items,
		})
	}
}

// seen is an alert's state as far as it is followed.
func seen(f hub.Finding) string { return state(f.Status == hub.FindingOpen, string(f.Severity)) }

func state(open bool, severity string) string {
	if open {
		return "open " + severity
	}
	return "resolved"
}

func far(seed uint64, o sim.Options) connectortest.Far {
	o.Options = unkind.Options{Seed: seed}
	s := sim.New(o)
	return connectortest.Far{
		Handler: s, Kind: s.Be, Token: func(good bool) { s.Refuse(!good) },
		Add: func(n int) {
			for i, id := range s.Add(n) {
				if i%7 == 3 { // over before anybody could see it open
					s.Suppress(id, true)
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

// change is a scan that finds an alert worse or better, or a person who suppresses
// or opens one, which no scan has seen.
func change(s *sim.Sim, r *rand.Rand) {
	all := s.Alerts()
	if len(all) == 0 {
		return
	}
	switch a := all[r.IntN(len(all))]; r.IntN(4) {
	case 0:
		s.Suppress(a.ID, a.State == "OPEN")
	case 1:
		s.Rate(a.ID, []string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}[r.IntN(4)])
	default:
		s.SetLevel(a.ID, []string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}[r.IntN(4)])
	}
}

func states(s *sim.Sim) map[string]string {
	out := map[string]string{}
	for _, a := range s.Alerts() {
		out[inbound.Key(a.AccountID, strconv.FormatInt(a.ID, 10))] = state(a.State == "OPEN", strings.ToLower(a.Level))
	}
	return out
}
