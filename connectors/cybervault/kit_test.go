package cybervault

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"testing"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/cybervault"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

const webhookSecret = "whs_5Jd8sK2lQ0"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings gives settings whose config is text, decoded as strictly as the
// product does.
func settings(text string, client *http.Client) connectors.Settings {
	return connectors.Settings{
		Name: "cybervault", Tenant: hub.DefaultTenant, Client: client, Log: slog.New(slog.DiscardHandler),
		Config: func(into any) error {
			d := yaml.NewDecoder(bytes.NewReader([]byte(text)))
			d.KnownFields(true)
			return d.Decode(into)
		},
	}
}

const config1 = "{name: cybervault, kind: cybervault, base_url: " + connectortest.BaseURL + "/v2, token: " + sim.DefaultToken +
	", webhook_secret: " + webhookSecret + "}"

func openFor(client *http.Client, log *slog.Logger) (connectors.Source, error) {
	s := settings(config1, client)
	s.Log = log
	return Open(s)
}

func TestPull(t *testing.T) {
	connectortest.Pull(t, connectortest.Case{
		New: far, Open: openFor, Secrets: []string{sim.DefaultToken, webhookSecret},
		Seen:  func(f hub.Finding) string { return seen(f.Labels["cybervault_status"], string(f.Severity)) },
		Lists: []string{"data"},
	})
}

// seen is an alert's state as far as it is followed: what changes of a closed
// one is not.
func seen(status, severity string) string {
	if status == "resolved" || status == "dismissed" {
		return "closed"
	}
	return status + " " + severity
}

func far(seed uint64) connectortest.Far {
	s := sim.New(sim.Options{Options: unkind.Options{Seed: seed}, Tier: "starter"})
	return connectortest.Far{
		Handler: s, Kind: s.Be, Token: func(good bool) { s.Revoke(!good) },
		Add: func(n int) {
			for i, id := range s.Add(n) {
				if i%7 == 3 { // over before anybody could see it open
					s.Change(id, "resolved", "")
				}
			}
		},
		Change: func(r *rand.Rand) {
			all := s.Alerts()
			statuses := []string{"open", "investigating", "resolved", "dismissed"}
			severities := []string{"", "", "critical", "low"}
			s.Change(all[r.IntN(len(all))].ID, statuses[r.IntN(4)], severities[r.IntN(4)])
		},
		State: func() map[string]string {
			state := map[string]string{}
			for _, a := range s.Alerts() {
				state[a.ID] = seen(a.Status, a.Severity)
			}
			return state
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
