package alertmanager

import (
	"flag"
	"net/http"
	"testing"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func opened(t testing.TB, config string) *Source {
	t.Helper()
	s, err := Open(connectortest.Settings(config))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const open = "name: am\nkind: alertmanager\nauth: none\n"

func TestCases(t *testing.T) { connectortest.Cases(t, *update, opened(t, open).m.read) }
func FuzzRead(f *testing.F)  { connectortest.Fuzz(f, opened(f, open).m.read) }

const one = `{"version":"4","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"A","instance":"h"},"startsAt":"2026-05-01T10:00:00Z"}]}`

func TestGuarded(t *testing.T) { connectortest.Guarded(t, Kind(), "", []byte(one), 1) }

func receive(t *testing.T, s *Source, body string) connectors.Batch {
	t.Helper()
	b, err := s.Receive(t.Context(), connectors.Request{Header: http.Header{}, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Of alerts that differ in severity only, one that still fires keeps the
// finding open, with its own severity.
func TestSeverityIsNoIdentity(t *testing.T) {
	s := opened(t, open)
	alert := func(severity, status, times string) string {
		return `{"status":"` + status + `","labels":{"alertname":"Disk","instance":"h","severity":"` + severity + `"},` + times + `}`
	}
	firing := `"startsAt":"2026-05-01T10:00:00Z"`
	ended := `"startsAt":"2026-05-01T10:30:00Z","endsAt":"2026-05-01T11:00:00Z"`
	for _, c := range []struct {
		name, body string
		severity   hub.Severity
		status     hub.FindingStatus
		at         string
	}{
		{"both fire", `[` + alert("warning", "firing", firing) + `,` + alert("critical", "firing", firing) + `]`, hub.Critical, hub.FindingOpen, "10:00"},
		{"the other order", `[` + alert("critical", "firing", firing) + `,` + alert("warning", "firing", firing) + `]`, hub.Critical, hub.FindingOpen, "10:00"},
		{"the worse is over", `[` + alert("critical", "resolved", ended) + `,` + alert("warning", "firing", firing) + `]`, hub.Medium, hub.FindingOpen, "11:00"},
		{"the other order", `[` + alert("warning", "firing", firing) + `,` + alert("critical", "resolved", ended) + `]`, hub.Medium, hub.FindingOpen, "11:00"},
		{"both are over", `[` + alert("warning", "resolved", ended) + `,` + alert("critical", "resolved", ended) + `]`, hub.Critical, hub.FindingResolved, "11:00"},
	} {
		b := receive(t, s, c.body)
		if len(b.Findings) != 1 || b.Findings[0].Severity != c.severity || b.Findings[0].Status != c.status || b.Findings[0].ObservedAt.Format("15:04") != c.at {
			t.Errorf("%s: %+v", c.name, b.Findings)
		}
	}
	if a, b := receive(t, s, alert("low", "firing", firing)), receive(t, s, alert("high", "firing", firing)); a.Findings[0].SourceID != b.Findings[0].SourceID {
		t.Error("another severity has another identity")
	}
	own := opened(t, open+"ignore_labels: [instance]\nasset_labels: [rack, instance]\n")
	if a, b := receive(t, own, alert("low", "firing", firing)), receive(t, own, alert("high", "firing", firing)); a.Findings[0].SourceID == b.Findings[0].SourceID {
		t.Error("ignore_labels is not looked at")
	}
}

// Prometheus tells no status: an end that has passed is one.
func TestPrometheusItself(t *testing.T) {
	s := opened(t, open)
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	b := receive(t, s, `[{"labels":{"alertname":"A"},"startsAt":"`+at(-time.Hour)+`","endsAt":"`+at(time.Hour)+`"},
		{"labels":{"alertname":"B"},"startsAt":"`+at(-time.Hour)+`","endsAt":"`+at(-time.Minute)+`"},
		{"labels":{"alertname":"C"},"startsAt":"`+at(-time.Hour)+`","endsAt":"0001-01-01T00:00:00Z"}]`)
	for i, want := range []hub.FindingStatus{hub.FindingOpen, hub.FindingResolved, hub.FindingOpen} {
		if b.Findings[i].Status != want {
			t.Errorf("alert %d is %s, want %s", i, b.Findings[i].Status, want)
		}
	}
}
