package cloudoptix

import (
	"log/slog"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const config1 = "{name: cloudoptix, kind: cloudoptix, base_url: " + connectortest.BaseURL + ", api_key: " + fakeKey + "}"

func openFor(client *http.Client, log *slog.Logger) (connectors.Source, error) {
	s := connectortest.Settings(config1)
	s.Client, s.Log = client, log
	return Open(s)
}

// seen is what the kit compares.
func seen(f hub.Finding) string {
	if f.Status == hub.FindingOpen {
		return "open " + string(f.Severity)
	}
	return string(f.Status)
}

// TestPullBySeen is with a far side where every change of an alert shows it
// again; TestPullByCount where only the counts tell of a change.
func TestPullBySeen(t *testing.T)  { pullFake(t, true) }
func TestPullByCount(t *testing.T) { pullFake(t, false) }

func pullFake(t *testing.T, touch bool) {
	connectortest.Pull(t, connectortest.Case{
		New:  func(seed uint64) connectortest.Far { return newFake(seed, touch).far() },
		Open: openFor, Seen: seen, Secrets: []string{fakeKey}, Items: 150,
	})
}

// TestPullMany lives through the same with many more items.
func TestPullMany(t *testing.T) {
	items := 10_000
	if testing.Short() {
		items = 1_000
	}
	connectortest.Many(t, connectortest.Case{
		New:  func(seed uint64) connectortest.Far { return newFake(seed, true).far() },
		Open: openFor, Seen: seen, Items: items,
	})
}
