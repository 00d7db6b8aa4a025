package echelongraph

import (
	"flag"
	"net/http"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

// TestMapping maps every case: an item of a list, or an event.
func TestMapping(t *testing.T) { connectortest.Cases(t, *update, mapper()) }

func FuzzMapping(f *testing.F) { connectortest.Fuzz(f, mapper()) }

func mapper() connectortest.Read {
	s := connectortest.Settings(config1)
	s.Client = &http.Client{}
	source, err := open(s)
	if err != nil {
		panic(err)
	}
	return func(in []byte) (connectors.Batch, error) {
		var c struct {
			Alert, Incident, Vulnerability, Entry, Compliance, Risk, Event jsontext.Value
		}
		if err := json.Unmarshal(in, &c, json.MatchCaseInsensitiveNames(true)); err != nil {
			return connectors.Batch{}, hub.Wrap(hub.Malformed, err, "no case")
		}
		var b connectors.Batch
		for raw, finding := range map[*jsontext.Value]func(entity) hub.Finding{
			&c.Alert: entity.alert, &c.Incident: entity.incident, &c.Vulnerability: entity.vulnerability,
		} {
			if x, ok := readEntity(*raw); ok {
				b.Findings = append(b.Findings, finding(x))
			}
		}
		if len(b.Findings) > 1 {
			return connectors.Batch{}, hub.E(hub.Malformed, "one item a case: their order is not fixed")
		}
		if e, ok := readEntry(c.Entry); ok {
			b.Findings = append(b.Findings, e.finding(source.asset))
		}
		if x, ok := readScore(c.Compliance); ok {
			b.Findings = append(b.Findings, source.complianceFinding(string(x.Framework), x.Score.Value, source.cfg.drifted(x.Score.Value, 90), c.Compliance))
		}
		if x, ok := readScore(c.Risk); ok {
			b.Findings = append(b.Findings, source.riskFinding(string(x.Category), x.Score.Value, x.Score.Value >= 80, c.Risk))
		}
		var e event
		if len(c.Event) > 0 && json.Unmarshal(c.Event, &e) == nil {
			heard := source.heard(e)
			b.Findings, b.Rejects = append(b.Findings, heard.Findings...), append(b.Rejects, heard.Rejects...)
		}
		return b, nil
	}
}
