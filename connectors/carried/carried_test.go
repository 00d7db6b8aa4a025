package carried

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

func TestMapKnowsFormatsApart(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, text string
		known      bool
		id         string // of the only finding; "" for none
		fails      bool
	}{
		{"CEF", `x CEF:0|V|P|1|c|n|5|src=10.0.0.1`, true, "V|P|c|10.0.0.1|||||", false},
		{"broken CEF", `x CEF:0|V|P`, true, "", true},
		{"Suricata", `{"event_type":"alert","flow_id":1,"src_ip":"a","dest_ip":"b","dest_port":1,"alert":{"signature_id":7}}`, true, "1:7|a|b|1", false},
		{"Suricata, no alert", ` {"event_type":"dns","flow_id":1} `, true, "", false},
		{"Wazuh", `{"rule":{"id":"5","level":3},"agent":{"id":"001"}}`, true, "5|001|||||||", false},
		{"our own", `{"type":"xss","asset_id":"a","severity":"low","source_id":"s"}`, true, "s", false},
		{"our own without an id", `{"type":"xss","asset_id":"a","severity":"low"}`, true, "xss|a|", false},
		{"our own, too long a title", `{"type":"xss","asset_id":"a","severity":"low","title":"` + strings.Repeat("x", 10_000) + `"}`, true, "", true},
		{"an object", `{"severity":"low"}`, false, "", false},
		{"text", `hello`, false, "", false},
		{"broken object", `{"type":"xss"`, false, "", false},
	} {
		got, known, err := Map(&Message{Text: tt.text, Time: at})
		id := ""
		if len(got) == 1 {
			id = got[0].SourceID
			if got[0].ObservedAt.IsZero() {
				t.Errorf("%s: the transport's time is lost", tt.name)
			}
		}
		if known != tt.known || id != tt.id || (err != nil) != tt.fails {
			t.Errorf("%s: known %v, id %q, %v; want %v, %q, an error: %v", tt.name, known, id, err, tt.known, tt.id, tt.fails)
		}
	}
}

func TestFill(t *testing.T) {
	fill := Fill{
		Type: "${{ input.kind }}", Severity: "${{ input.score }}", Asset: "${{ input.host }}", Title: "on ${{ input.host }}", Key: "k/${{ input.host }}",
		Status: "${{ input.state }}", ObservedAt: "${{ input.at }}", Labels: map[string]string{"type": "${{ input.kind }}"},
	}
	p, err := fill.Compile()
	if err != nil {
		t.Fatal(err)
	}
	f := hub.Finding{Type: "custom", Severity: hub.Info, Title: "before"}
	err = p.Fill(&f, []byte(`{"kind":"ransomware found","score":73,"host":"h","state":"Closed","at":1795168800}`), time.Now())
	if err != nil || f.Type != "malware" || f.Severity != hub.High || f.AssetID != "h" || f.Title != "on h" || f.SourceID != "k/h" || f.Status != hub.FindingResolved ||
		f.ObservedAt.Unix() != 1795168800 || f.Labels["type"] != "ransomware found" {
		t.Errorf("%+v, %v", f, err)
	}
	before := f
	if err := p.Fill(&f, []byte(`{"host":""}`), time.Now()); err == nil || f.Severity != before.Severity || f.AssetID != "h" || f.Title != "on " {
		t.Errorf("what is missing must stay as it is and be told: %+v, %v", f, err)
	}
}

// Names that most tools share give the same whatever their case.
func TestFields(t *testing.T) {
	a := ReadFields([]byte(`{"Signature":"Port scan","SEVERITY":"5","dest":"10.0.0.1","src":"203.0.113.9","Status":"closed"}`)).Finding("ids", "", &Message{Host: "s"})
	if a.Title != "Port scan" || a.Severity != hub.Critical || a.AssetID != "10.0.0.1" || a.Type != "network" || a.Status != hub.FindingResolved {
		t.Errorf("%+v", a)
	}
	for _, other := range []string{`{"signature":"Port scan","dest":"10.0.0.2","src":"203.0.113.9"}`, `{"signature":"Port scan","dest":"10.0.0.1","src":"203.0.113.9","user":"u"}`} {
		if b := ReadFields([]byte(other)).Finding("ids", "", &Message{Host: "s"}); b.SourceID == a.SourceID {
			t.Errorf("%s has the identity of another", other)
		}
	}
	if b := ReadFields([]byte(`{"signature":"Port scan","severity":"1","dest":"10.0.0.1","src":"203.0.113.9","count":7}`)).Finding("ids", "", &Message{Host: "s"}); b.SourceID != a.SourceID {
		t.Errorf("severity and count made another identity: %s and %s", a.SourceID, b.SourceID)
	}
}
