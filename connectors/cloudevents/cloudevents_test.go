package cloudevents

import (
	"flag"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func TestCases(t *testing.T) {
	folders, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(folders) < 5 {
		t.Fatalf("%d cases, %v", len(folders), err)
	}
	for _, f := range folders {
		connectortest.Folder(t, *update, f, connectortest.Of(read))
	}
}

const (
	data = `{"type":"xss","asset_id":"web","severity":"high","source_id":"7","title":"T","observed_at":"2026-05-01T10:00:00Z"}`
	one  = `{"specversion":"1.0","id":"e1","source":"/scanner","type":"finding.found","data":` + data + `}`
)

func FuzzRead(f *testing.F) {
	f.Add([]byte(one), "application/json", "/s")
	f.Add([]byte(data), "", "%2Fs%zz")
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"eyJ0eXBlIjoieHNzIn0="}`), "application/cloudevents+json", "")
	f.Add([]byte(`[{"specversion":"1.0","id":"1","source":"s","type":"alert.created","data":{"alert":{"id":"alt_1","type":"xss","asset_id":"a","severity":"low"}}}]`), "application/cloudevents-batch+json", "")
	s := opened(f, "auth: none")
	f.Fuzz(func(t *testing.T, in []byte, kind, source string) {
		h := http.Header{"Content-Type": {kind}}
		if source != "" {
			h.Set("ce-specversion", "1.0")
			h.Set("ce-id", "1")
			h.Set("ce-type", "t")
			h.Set("ce-source", source)
		}
		b, err := s.Receive(t.Context(), connectors.Request{Header: h, Body: in})
		if err != nil && (hub.KindOf(err) == hub.Internal || len(b.Findings) > 0) {
			t.Errorf("%d findings, %v", len(b.Findings), err)
		}
		for _, f := range b.Findings {
			if f.AssetID == "" || !f.Severity.Valid() || f.Labels["ce_source"] == "" || !f.Raw.IsValid() {
				t.Errorf("%q became %+v", in, f)
			}
		}
	})
}

func opened(t testing.TB, config string) *Source {
	t.Helper()
	s, err := Open(connectortest.Settings("name: e\nkind: cloudevents\n" + config))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGuarded(t *testing.T) { connectortest.Guarded(t, Kind(), "", []byte(one), 1) }

// The three modes give the same finding.
func TestModes(t *testing.T) {
	s := opened(t, "auth: none")
	get := func(body string, pairs ...string) hub.Finding {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		b, err := s.Receive(t.Context(), connectors.Request{Header: h, Body: []byte(body)})
		if err != nil || len(b.Findings) != 1 {
			t.Fatalf("%v: %+v, %v", pairs, b, err)
		}
		f := b.Findings[0]
		f.Raw = nil
		return f
	}
	want := get(one, "Content-Type", "application/cloudevents+json; charset=utf-8")
	for name, got := range map[string]hub.Finding{
		"batch":  get("["+one+"]", "Content-Type", "application/cloudevents-batch+json"),
		"binary": get(data, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "e1", "ce-source", "%2Fscanner", "ce-type", "finding.found"),
		"base64": get(strings.Replace(one, `"data":`+data, `"data_base64":"eyJ0eXBlIjoieHNzIiwiYXNzZXRfaWQiOiJ3ZWIiLCJzZXZlcml0eSI6ImhpZ2giLCJzb3VyY2VfaWQiOiI3IiwidGl0bGUiOiJUIiwib2JzZXJ2ZWRfYXQiOiIyMDI2LTA1LTAxVDEwOjAwOjAwWiJ9"`, 1)),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if want.SourceID != "/scanner|7" || want.Labels["ce_type"] != "finding.found" {
		t.Errorf("%+v", want)
	}
}

func TestRefused(t *testing.T) {
	s := opened(t, "auth: none")
	binary := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	full := []string{"ce-specversion", "1.0", "ce-id", "1", "ce-source", "/s", "ce-type", "t"}
	for name, c := range map[string]struct {
		header  http.Header
		body    string
		kind    hub.Kind
		rejects int
	}{
		"another format":      {binary("Content-Type", "application/cloudevents+avro"), one, hub.Unsupported, 0},
		"data that is text":   {binary(append(full, "Content-Type", "text/plain")...), "x", hub.Unsupported, 0},
		"data that is broken": {binary(full...), "{", hub.Malformed, 0},
		"no id":               {binary("ce-specversion", "1.0", "ce-source", "/s", "ce-type", "t"), data, "", 1},
		"an old version":      {binary("ce-specversion", "0.3", "ce-id", "1", "ce-source", "/s", "ce-type", "t"), data, "", 1},
		"no finding":          {binary(full...), `{"type":"xss"}`, "", 1},
		"no JSON":             {binary(), "hello", hub.Malformed, 0},
	} {
		b, err := s.Receive(t.Context(), connectors.Request{Header: c.header, Body: []byte(c.body)})
		if hub.KindOf(err) != c.kind || len(b.Rejects) != c.rejects || len(b.Findings) > 0 {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}

// What a hub's own webhook sends is taken by another, once.
func TestAnotherHub(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	e := hub.Event{
		SpecVersion: "1.0", ID: "msg_1", Source: "https://hub-a.example", Type: hub.AlertResolvedEvent, Subject: "alt_1", Time: at, Timestamp: at, Tenant: "default", Sequence: 9,
		Data: hub.EventData{Alert: &hub.Alert{ID: "alt_1", Type: "xss", AssetID: "web", Severity: hub.High, Status: hub.AlertResolved, Title: "T", Version: 4, Labels: map[string]string{"team": "shop"}, UpdatedAt: at}},
	}
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	b, err := connectortest.Of(read)(body)
	if err != nil || len(b.Findings) != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	f := b.Findings[0]
	if f.SourceID != "https://hub-a.example|alt_1" || f.Status != hub.FindingResolved || f.SourceSequence != 4 || !f.ObservedAt.Equal(at) || f.Labels["team"] != "shop" {
		t.Errorf("%+v", f)
	}
	e.Data.Alert.Labels = f.Labels // as the second hub's alert has them
	if body, err = json.Marshal(e); err != nil {
		t.Fatal(err)
	}
	if b, err = connectortest.Of(read)(body); err != nil || len(b.Rejects) != 1 {
		t.Errorf("told back: %+v, %v", b, err)
	}
}
