package connectortest

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A Read reads one input whole, such as [connectors.Collect] of a format.
type Read func(in []byte) (connectors.Batch, error)

// Of is the Read of a format.
func Of(read func(io.Reader) connectors.Reading) Read {
	return func(in []byte) (connectors.Batch, error) { return connectors.Collect(read(bytes.NewReader(in))) }
}

// Cases reads in.* of every folder under testdata/cases and compares what comes
// of it with want.json beside it, which update writes anew.
func Cases(t *testing.T, update bool, read Read) {
	t.Helper()
	inputs := inputs(t)
	if len(inputs) < 5 {
		t.Errorf("there are %d cases, want 5 at least", len(inputs))
	}
	for _, path := range inputs {
		runCase(t, update, path, read, func(t *testing.T, f hub.Finding) {
			checkFinding(t, f)
			checkIdentity(t, f)
		})
	}
}

// Folder is one folder of [Cases], for kinds that do not give every finding a
// source id.
func Folder(t *testing.T, update bool, folder string, read Read) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "in.*"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%s has %d inputs, want 1", folder, len(paths))
	}
	runCase(t, update, paths[0], read, func(t *testing.T, f hub.Finding) { checkFinding(t, f) })
}

func runCase(t *testing.T, update bool, path string, read Read, check func(*testing.T, hub.Finding)) {
	t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
		in, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := read(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range b.Findings {
			check(t, f)
		}
		compareCase(t, update, filepath.Join(filepath.Dir(path), "want.json"), b)
	})
}

func inputs(t testing.TB) []string {
	paths, err := filepath.Glob("testdata/cases/*/in.*")
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func compareCase(t *testing.T, update bool, path string, b connectors.Batch) {
	t.Helper()
	got, err := json.Marshal(struct {
		Findings []hub.Finding       `json:"findings"`
		Rejects  []connectors.Reject `json:"rejects,omitempty"`
	}{b.Findings, b.Rejects}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	if update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(bytes.TrimSpace(want)), string(got)); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

func checkIdentity(t testing.TB, f hub.Finding) {
	t.Helper()
	if f.SourceID == "" && f.DedupKey == "" {
		t.Errorf("finding %q has no identity", f.Title)
	}
}

// checkFinding tells what no mapping may leave open.
func checkFinding(t testing.TB, f hub.Finding) {
	t.Helper()
	switch {
	case !slices.Contains(hub.FindingTypes[:], f.Type):
		t.Errorf("finding %s is of type %q", f.SourceID, f.Type)
	case !f.Severity.Valid():
		t.Errorf("finding %s has severity %q", f.SourceID, f.Severity)
	case f.AssetID == "" || f.Title == "":
		t.Errorf("finding %s has asset %q and title %q", f.SourceID, f.AssetID, f.Title)
	case f.Status != hub.FindingOpen && f.Status != hub.FindingResolved:
		t.Errorf("finding %s has status %q", f.SourceID, f.Status)
	case f.ObservedGiven == f.ObservedAt.IsZero():
		t.Errorf("finding %s: observed at %v, given %v", f.SourceID, f.ObservedAt, f.ObservedGiven)
	case len(f.SourceID) > 1024 || len(f.AssetID) > 1024 || len(f.Title) > 4096 || len(f.Labels) > 200:
		t.Errorf("finding %.80s is beyond the limits", f.SourceID)
	case !f.Raw.IsValid() || len(f.Payload) > 0 && f.Payload.Kind() != '{':
		t.Errorf("finding %s has raw %.80q and payload %.80q", f.SourceID, f.Raw, f.Payload)
	}
}

// Fuzz feeds a format with all there is: nothing may panic, whatever becomes a
// finding is one, and the same input gives the same.
func Fuzz(f *testing.F, read Read) {
	for _, path := range inputs(f) {
		in, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := read(in)
		if err != nil {
			if hub.KindOf(err) == hub.Internal || len(b.Findings) > 0 {
				t.Errorf("%d findings with error %v of kind %s", len(b.Findings), err, hub.KindOf(err))
			}
			return
		}
		for _, x := range b.Findings {
			checkFinding(t, x)
			checkIdentity(t, x)
		}
		again, err := read(in)
		if diff := cmp.Diff(b, again); err != nil || diff != "" {
			t.Errorf("read again, it differs: %v\n%s", err, diff)
		}
	})
}

// Settings are settings whose config is a YAML text, decoded as strictly as the
// product does.
func Settings(text string) connectors.Settings {
	return connectors.Settings{
		Name: "under-test", Tenant: hub.DefaultTenant, Client: &http.Client{}, Log: slog.New(slog.DiscardHandler),
		Config: func(into any) error {
			d := yaml.NewDecoder(strings.NewReader(text))
			d.KnownFields(true)
			return d.Decode(into)
		},
	}
}

// Guarded checks that a kind takes body only from who may send it, and opens
// only if it was told who may: extra are settings that it needs beside.
func Guarded(t *testing.T, kind connectors.Kind, extra string, body []byte, want int) {
	t.Helper()
	base := "name: under-test\nkind: " + kind.Name + "\n" + extra
	if _, err := kind.Open(Settings(base)); err == nil || !strings.Contains(err.Error(), "auth: is required") {
		t.Errorf("opened without auth: %v", err)
	}
	for _, c := range []struct {
		config string
		header http.Header
		ok     bool
	}{
		{"auth: none", http.Header{}, true},
		{"auth: token\nsecret: right", http.Header{"Authorization": {"Bearer right"}}, true},
		{"auth: token\nsecret: right", http.Header{"Authorization": {"Bearer wrong"}}, false},
		{"auth: token\nsecret: right", http.Header{}, false},
		{"auth: basic\nusername: u\nsecret: p", http.Header{"Authorization": {"Basic dTpw"}}, true},
		{"auth: basic\nusername: u\nsecret: q", http.Header{"Authorization": {"Basic dTpw"}}, false},
		{"auth: github\nsecret: right", http.Header{}, false},
	} {
		source, err := kind.Open(Settings(base + c.config))
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range [][]byte{body, []byte("{")} {
			b, err := source.(connectors.Receiver).Receive(t.Context(), connectors.Request{Header: c.header, Body: in})
			switch {
			case !c.ok && (hub.KindOf(err) != hub.Unauthorized || len(b.Findings) > 0):
				t.Errorf("%q with %v: %v, want it refused before the body is read", c.config, c.header, err)
			case c.ok && len(in) == 1 && hub.KindOf(err) != hub.Malformed:
				t.Errorf("broken body: %v, want it malformed", err)
			case c.ok && len(in) > 1 && (err != nil || len(b.Findings) != want || len(b.Rejects) > 0):
				t.Errorf("%q: %d findings, %v, %v; want %d", c.config, len(b.Findings), b.Rejects, err, want)
			}
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}
}
