package vigilare

import (
	"flag"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

// TestMapping maps every case: one account with what Vigilare says of it.
func TestMapping(t *testing.T) { connectortest.Cases(t, *update, mapCase) }

func FuzzMapping(f *testing.F) { connectortest.Fuzz(f, mapCase) }

func mapCase(in []byte) (connectors.Batch, error) {
	var c struct {
		Account   jsontext.Value `json:"account"`
		Signal    jsontext.Value `json:"signal"`
		Score     *float64       `json:"score"`
		Alert     jsontext.Value `json:"alert"`
		Rule      rule           `json:"rule"`
		Checklist []step         `json:"checklist"`
		Identity  string         `json:"identity"`
	}
	if err := json.Unmarshal(in, &c); err != nil {
		return connectors.Batch{}, hub.Wrap(hub.Malformed, err, "no case")
	}
	a := account{raw: c.Account}
	if err := json.Unmarshal(c.Account, &a); err != nil || a.ID == "" {
		return connectors.Batch{}, hub.E(hub.Malformed, "no account")
	}
	var b connectors.Batch
	add := func(f hub.Finding) {
		if f.Status == hub.FindingOpen {
			attach(&f, c.Checklist)
		}
		b.Findings = append(b.Findings, f)
	}
	if g, ok := readSignal(c.Signal); ok {
		add(g.finding(a, c.Identity))
	}
	if c.Score != nil {
		f := a.scoreFinding(*c.Score, 40)
		f.ObservedAt = inbound.ParseTime(a.LastScanAt)
		f.ObservedGiven = !f.ObservedAt.IsZero()
		add(f)
	}
	var x alert
	if len(c.Alert) > 0 && json.Unmarshal(c.Alert, &x) == nil && x.ID != "" {
		known := &fired{
			Account: x.AccountID, Rule: x.RuleID, SRS: x.SRS, Scenarios: x.Scenarios, Fired: inbound.ParseTime(x.FiredAt),
			Acked: inbound.ParseTime(x.AcknowledgedAt),
		}
		f := known.finding(x.ID, a, c.Rule)
		f.Raw = c.Alert
		add(f)
	}
	return b, nil
}
