package cloudoptix

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

// TestMapping maps every case: one of what Cloud Optix tells.
func TestMapping(t *testing.T) { connectortest.Cases(t, *update, mapCase) }

func FuzzMapping(f *testing.F) { connectortest.Fuzz(f, mapCase) }

func mapCase(in []byte) (connectors.Batch, error) {
	var c struct {
		Alert jsontext.Value `json:"alert"`
		Image jsontext.Value `json:"image"`
		Fault jsontext.Value `json:"fault"`

		Task   jsontext.Value `json:"task"`   // whole answers
		Known  jsontext.Value `json:"known"`  // of what is known of an image
		Report jsontext.Value `json:"report"` // of a scan of templates

		Scan scan `json:"scan"`
	}
	if err := json.Unmarshal(in, &c); err != nil {
		return connectors.Batch{}, hub.Wrap(hub.Malformed, err, "no case")
	}
	var b connectors.Batch
	at := inbound.ParseTime(c.Scan.Since.Format("2006-01-02T15:04:05Z07:00"))
	if a, ok := readAlert(c.Alert); ok {
		b.Findings = append(b.Findings, a.finding())
	}
	if i := (image{raw: c.Image}); len(c.Image) > 0 && json.Unmarshal(c.Image, &i) == nil && i.Tag != "" {
		b.Findings = append(b.Findings, i.finding(c.Scan, at))
	}
	if x := (fault{raw: c.Fault}); len(c.Fault) > 0 && json.Unmarshal(c.Fault, &x) == nil && x.Summary != "" {
		b.Findings = append(b.Findings, x.finding(c.Scan, at))
	}
	var o outcome
	switch {
	case len(c.Task) > 0:
		o = readTask(c.Task, c.Scan, at)
	case len(c.Known) > 0:
		o = readImage(c.Known, at)
	case len(c.Report) > 0:
		o = readReport(c.Report, c.Scan, at)
	}
	b.Findings, b.Rejects = append(b.Findings, o.Findings...), o.Rejects
	return b, nil
}

// FuzzAnswers reads what must not bring the connector down, whatever it is:
// inventories, refusals and stored cursors.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"data":[{"accountType":"AWS","accountId":1,"instanceId":"i-1","moreInfo":{"tags":"{\"Name\":\"web\"}","networkInterfaces":[{"publicIP":"1.2.3.4"}]}}]}`,
		`{"data":[{"accountId":"1","objectId":"o","name":"n","moreInfo":{"nodeName":"n9","vmId":"i-1","mappedTags":{"a":1}}},7],"hasNext":true,"totalPages":"2"}`,
		`[{"accountId":"1","accountType":"Kubernetes","subAccounts":["2"],"tags":[1]}]`, `{"message":"Account Ids [1] not found"}`,
		`{"v":1,"sweep":3,"alerts":"","scans":[{"kind":"iac","id":"1"}],"reports":{"a":{"open":[{"id":"x"}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		source, err := Open(connectortest.Settings(config1))
		if err != nil {
			t.Fatal(err)
		}
		source.Describe(in)
		if p, err := restore(in); err == nil {
			if _, err := restore(p.store()); err != nil {
				t.Errorf("a cursor that was read cannot be stored: %v", err)
			}
		}
		if e := explain(connectors.Call{Path: "/x"}, 400, in); e == nil || e.Msg == "" {
			t.Errorf("a refusal without words: %v", e)
		}
		w := &pull{source: source}
		w.Inventory.Things = map[string]thing{}
		var list sheet
		if json.Unmarshal(in, &list) != nil {
			list.Data = []jsontext.Value{jsontext.Value(in)}
		}
		for n, raw := range list.Data {
			for _, kind := range []string{"vms|AWS", "vms|Azure", "users|GCP", "serverless|Azure", "containers|eks|clusters", "containers|native|nodes", "containers|gke|pods", "containers|aks|containers"} {
				w.item(kind, n, raw)
			}
			if a := (account{raw: raw}); json.Unmarshal(raw, &a) == nil && a.ID != "" {
				w.account(a)
			}
		}
		for _, n := range w.page.Nodes {
			if len(n.Keys) == 0 || n.Keys[0] == "" {
				t.Errorf("a node without a key: %+v", n)
			}
		}
	})
}
