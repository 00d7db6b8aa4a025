package connectors

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/hub"
)

// everything is a source with every capability.
type everything struct {
	script
	batch  Batch
	closed bool
	done   []string
}

func (e *everything) Close() error { e.closed = true; return nil }

func (e *everything) Receive(_ context.Context, r Request) (Batch, error) {
	if r.Header.Get("X-Sig") != "right" {
		return Batch{}, hub.E(hub.Unauthorized, "wrong signature")
	}
	return e.batch, nil
}

func (*everything) Actions() []ActionSpec {
	return []ActionSpec{{Name: "src.ping", Params: []ParamSpec{{Name: "host", Type: ParamString, Required: true}}}}
}

func (e *everything) Do(_ context.Context, action, key string, params jsontext.Value) (jsontext.Value, error) {
	e.done = append(e.done, action+" "+key+" "+string(params))
	return jsontext.Value(`{"ok":true}`), nil
}

func (*everything) Test(context.Context) error { return nil }

func (*everything) Mirror(change hub.EventType, sourceID string) (string, jsontext.Value) {
	return "src." + string(change), jsontext.Value(`"` + sourceID + `"`)
}

func (*everything) Report() jsontext.Value { return jsontext.Value(`{"status":"operational"}`) }

// mute can do nothing at all.
type mute struct{}

func (mute) Close() error { return nil }

func fleet(t *testing.T, src *everything, store Store, reg *prometheus.Registry) *Fleet {
	t.Helper()
	f, err := Open(FleetConfig{
		Kinds: []Kind{
			{Name: "src", Open: func(Settings) (Source, error) { return src, nil }},
			{Name: "mute", Open: func(Settings) (Source, error) { return mute{}, nil }},
		},
		Entries: []Entry{
			{Common: Common{Name: "two", Kind: "mute"}},
			{Common: Common{Name: "one", Kind: "src", Tenant: "acme"}},
		},
		Store: store, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(reg),
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOpenTellsEveryProblem(t *testing.T) {
	broken := Kind{Name: "src", Open: func(Settings) (Source, error) { return nil, errors.New("token: is required") }}
	_, err := Open(FleetConfig{
		Kinds: []Kind{broken, {Name: "mute", Open: func(Settings) (Source, error) { return mute{}, nil }}}, Log: slog.New(slog.DiscardHandler),
		Entries: []Entry{
			{Common: Common{Name: "a", Kind: "src"}},
			{Common: Common{Name: "Big Name", Kind: "mute"}},
			{Common: Common{Name: "b", Kind: "fax"}},
			{Common: Common{Name: "c", Kind: "mute"}},
			{Common: Common{Name: "c", Kind: "mute"}},
			{Common: Common{Name: "d", Kind: "mute", Interval: hub.Duration(time.Second)}},
		},
	})
	for _, want := range []string{"connectors[0] a: token", "connectors[1]", "known are src, mute", "connectors[4] c: name", "at least 5s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, store, reg := &everything{script: script{answers: []func([]byte, Emit) error{works}}}, &shelf{}, prometheus.NewRegistry()
		f := fleet(t, src, store, reg)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); f.Run(ctx) }()
		synctest.Wait()

		if got := f.List("acme"); len(got) != 1 || got[0].Name != "one" || got[0].Counts.Pulls != 1 || !got[0].Receives || got[0].Report == nil {
			t.Errorf("list %+v", got)
		}
		if got := f.List(hub.DefaultTenant); len(got) != 1 || got[0].Phase != PhaseListening {
			t.Errorf("list of the default tenant %+v", got)
		}
		if err := f.Sync("acme", "one"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := len(src.pulls()); n != 2 {
			t.Errorf("%d pulls after sync, want 2", n)
		}
		checkRefusals(t, f)
		if err := f.Test(ctx, "acme", "one"); err != nil {
			t.Error(err)
		}
		cancel()
		<-ended
		if err := f.Close(); err != nil || !src.closed {
			t.Errorf("close: %v, closed %v", err, src.closed)
		}
		if got := counted(t, reg, "tocsin_connector_pulls_total"); got != 2 {
			t.Errorf("metric counts %v pulls, want 2", got)
		}
	})
}

// counted sums a counter over its labels.
func counted(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// checkRefusals asks for what is not there, or not the tenant's.
func checkRefusals(t *testing.T, f *Fleet) {
	t.Helper()
	tests := []struct {
		name string
		err  error
		want hub.Kind
	}{
		{"another tenant's", f.Sync("default", "one"), hub.NotFound},
		{"unknown", f.Pause("acme", "three"), hub.NotFound},
		{"nothing to pull", f.Resume("default", "two"), hub.Conflict},
		{"nothing to test", f.Test(t.Context(), "default", "two"), hub.Conflict},
	}
	for _, tt := range tests {
		if got := hub.KindOf(tt.err); got != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, tt.err, tt.want)
		}
	}
	if _, err := f.State("default", "one"); hub.KindOf(err) != hub.NotFound {
		t.Errorf("state of another tenant's: %v", err)
	}
}

func TestPush(t *testing.T) {
	right := http.Header{"X-Sig": {"right"}}
	good := func() []hub.Finding {
		return []hub.Finding{{SourceID: "1", Type: "xss", AssetID: "a", Severity: hub.Low}}
	}
	bad := []Reject{{Index: 1, Error: "severity: is required"}}
	tests := []struct {
		name           string
		source         string
		header         http.Header
		batch          Batch
		storeErr       error
		ids, rejects   int
		kind           hub.Kind
		stored, fields int
	}{
		{"good", "one", right, Batch{Findings: good()}, nil, 1, 0, "", 1, 0},
		{"some bad", "one", right, Batch{Findings: good(), Rejects: bad}, nil, 1, 1, "", 1, 0},
		{"all bad", "one", right, Batch{Rejects: bad}, nil, 0, 1, hub.Invalid, 0, 1},
		{"nothing in it", "one", right, Batch{}, nil, 0, 0, "", 0, 0},
		{"wrong signature", "one", http.Header{}, Batch{Findings: good()}, nil, 0, 0, hub.Unauthorized, 0, 0},
		{"unknown", "three", right, Batch{}, nil, 0, 0, hub.NotFound, 0, 0},
		{"sends nothing", "two", right, Batch{}, nil, 0, 0, hub.NotFound, 0, 0},
		{"store down", "one", right, Batch{Findings: good()}, transient(0), 0, 0, hub.Transient, 0, 0},
	}
	for _, tt := range tests {
		store := &shelf{err: tt.storeErr, cursor: []byte("kept")}
		f := fleet(t, &everything{batch: tt.batch}, store, prometheus.NewRegistry())
		got, err := f.Receive(t.Context(), tt.source, Request{Header: tt.header})
		if len(got.IDs) != tt.ids || len(got.Rejects) != tt.rejects || hub.KindOf(err) != tt.kind || len(store.findings) != tt.stored {
			t.Errorf("%s: %+v, %v, %d stored", tt.name, got, err, len(store.findings))
		}
		var e *hub.Error
		if errors.As(err, &e) && len(e.Fields) != tt.fields {
			t.Errorf("%s: fields %v, want %d", tt.name, e.Fields, tt.fields)
		}
		if string(store.cursor) != "kept" {
			t.Errorf("%s: a push moved the cursor", tt.name)
		}
	}
}

func TestActions(t *testing.T) {
	src := &everything{}
	f := fleet(t, src, &shelf{}, prometheus.NewRegistry())
	if got := f.Actions("acme"); len(got) != 1 || got[0].Connector != "one" || got[0].Name != "src.ping" {
		t.Errorf("actions %+v", got)
	}
	result, err := f.Do(t.Context(), "acme", "one", "src.ping", "k1", jsontext.Value(`{"host":"a"}`))
	if err != nil || string(result) != `{"ok":true}` || len(src.done) != 1 || src.done[0] != `src.ping k1 {"host":"a"}` {
		t.Errorf("did %v: %s, %v", src.done, result, err)
	}
	for _, tt := range []struct {
		tenant       hub.TenantID
		name, action string
		params       string
		want         hub.Kind
	}{
		{"default", "one", "src.ping", `{"host":"a"}`, hub.NotFound},
		{"default", "two", "src.ping", `{"host":"a"}`, hub.Invalid},
		{"acme", "one", "src.pong", `{}`, hub.Invalid},
		{"acme", "one", "src.ping", `{}`, hub.Invalid},
		{"acme", "one", "src.ping", `[]`, hub.Malformed},
	} {
		if _, err := f.Do(t.Context(), tt.tenant, tt.name, tt.action, "k", jsontext.Value(tt.params)); hub.KindOf(err) != tt.want {
			t.Errorf("%s %s %s: %v, want %s", tt.name, tt.action, tt.params, err, tt.want)
		}
	}
}

func TestParams(t *testing.T) {
	spec := ActionSpec{Name: "a.b", Params: []ParamSpec{
		{Name: "s", Type: ParamString, Required: true, Enum: []string{"x", "y"}},
		{Name: "n", Type: ParamNumber},
		{Name: "b", Type: ParamBoolean},
		{Name: "o", Type: ParamObject},
		{Name: "l", Type: ParamArray},
	}}
	tests := []struct{ params, pointers string }{
		{`{"s":"x"}`, ""},
		{`{"s":"x","n":1,"b":true,"o":{},"l":[]}`, ""},
		{`{"s":"x","b":false,"n":null}`, ""},
		{``, "/s"},
		{`{"s":"z"}`, "/s"},
		{`{"s":1,"n":"1","b":0,"o":[],"l":{},"q":1}`, "/b /l /n /o /q /s"},
	}
	for _, tt := range tests {
		var pointers []string
		var e *hub.Error
		if errors.As(spec.Check(jsontext.Value(tt.params)), &e) {
			for _, f := range e.Fields {
				pointers = append(pointers, f.Pointer)
			}
		}
		if got := strings.Join(pointers, " "); got != tt.pointers {
			t.Errorf("%s: faults at %q, want %q", tt.params, got, tt.pointers)
		}
	}
}

func TestMirror(t *testing.T) {
	f := fleet(t, &everything{}, &shelf{}, prometheus.NewRegistry())
	for _, tt := range []struct {
		tenant hub.TenantID
		name   string
		want   string
	}{{"acme", "one", `src.alert.resolved "x"`}, {"other", "one", " "}, {"acme", "none", " "}, {hub.DefaultTenant, "two", " "}} {
		action, params := f.Mirror(tt.tenant, tt.name, hub.AlertResolvedEvent, "x")
		if got := action + " " + string(params); got != tt.want {
			t.Errorf("%s of %s: %q, want %q", tt.name, tt.tenant, got, tt.want)
		}
	}
}

// TestAccept takes in what an action has brought, as if it had been sent.
func TestAccept(t *testing.T) {
	var given Settings
	store := &shelf{}
	f, err := Open(FleetConfig{
		Kinds:   []Kind{{Name: "test", Open: func(s Settings) (Source, error) { given = s; return &everything{}, nil }}},
		Entries: []Entry{{Common: Common{Name: "src", Kind: "test", Tenant: "acme"}, Config: func(any) error { return nil }}},
		Store:   store, Client: &http.Client{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := given.Accept(t.Context(), Batch{Findings: []hub.Finding{{Type: "malware", AssetID: "a", Severity: hub.High}}, Rejects: []Reject{{Error: "no tag"}}})
	if err != nil || len(receipt.IDs) != 1 || len(store.findings) != 1 || len(store.rejects) != 1 {
		t.Fatalf("%+v, %v; stored %+v and %+v", receipt, err, store.findings, store.rejects)
	}
	if got := store.findings[0]; got.Tenant != "acme" || got.Source != "src" || got.ID != receipt.IDs[0] {
		t.Errorf("stored %+v", got)
	}
	if s, err := f.State("acme", "src"); err != nil || s.Counts.Received != 1 || s.Counts.Rejected != 1 {
		t.Errorf("counts %+v, %v", s.Counts, err)
	}
}
