package hub

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

func TestEventAppendJSONIsMarshal(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	score := 12.5
	alert := &Alert{ID: "alt_1", Tenant: "default", Title: "a \"quoted\" <title> \u2028", Sources: []string{"s"}, RiskScore: &score, CreatedAt: at, Payload: []byte(`{"a":1}`)}
	base := Event{SpecVersion: "1.0", ID: "msg_1", Source: "https://hub/\x01", Type: AlertCreated, Subject: "alt_1", Time: at, Timestamp: at.Truncate(time.Second), Tenant: "default", Sequence: 7}
	for name, data := range map[string]EventData{
		"alert":          {Alert: alert},
		"alert and more": {Alert: alert, Changes: Changes{"count": {int64(1), int64(2)}}, Reason: "merged", Actor: "source:s", Findings: []FindingID{"fnd_1"}, Depth: 1},
		"no alert":       {Reason: "x"},
		"endpoint":       {Endpoint: &EndpointBrief{ID: "whk_1", Kind: "webhook"}},
		"both":           {Alert: alert, Endpoint: &EndpointBrief{ID: "whk_1", Kind: "webhook"}},
		"nothing":        {},
	} {
		e := base
		e.Data = data
		want, err := json.Marshal(&e, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		var doc []byte
		if data.Alert != nil {
			if doc, err = json.Marshal(data.Alert); err != nil {
				t.Fatal(err)
			}
		}
		got, err := e.AppendJSON(nil, doc)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s:\ngot  %s\nwant %s\nerror %v", name, got, want, err)
		}
	}
}
