package ops

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/internal/intake"
)

// TestForeignFormats reads every case of every kind that has a format: what it
// becomes is a finding that the hub takes, and the format is found out by how
// the input begins.
func TestForeignFormats(t *testing.T) {
	formats := foreignFormats()
	if len(formats) < 4 {
		t.Fatalf("%d formats", len(formats))
	}
	for _, f := range formats {
		inputs, err := filepath.Glob("../../connectors/" + f.Name + "/testdata/cases/*/in.*")
		if err != nil || len(inputs) == 0 {
			t.Errorf("%s has no cases: %v", f.Name, err)
		}
		findings := 0
		for _, path := range inputs {
			in, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			findings += acceptable(t, f, path, in)
			name := filepath.Base(filepath.Dir(path))
			chosen, err := chooseFormat("", "x.json", bufio.NewReaderSize(bytes.NewReader(in), 64<<10))
			if f.looks != nil && !strings.Contains(name, "bad") && name != "loose" && (err != nil || chosen.Name != f.Name) {
				t.Errorf("%s is taken for %s", path, chosen.Name)
			}
		}
		if findings == 0 {
			t.Errorf("%s: its cases hold no finding", f.Name)
		}
	}
}

func acceptable(t *testing.T, f Format, path string, in []byte) (findings int) {
	t.Helper()
	all := f.open(bytes.NewReader(in))
	defer all.(io.Closer).Close()
	for {
		it, err := all.next()
		if errors.Is(err, io.EOF) {
			return findings
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return findings
		}
		if it.line < 1 || it.bad == "" && it.end > int64(len(in)) { // a message that is cut off may say more
			t.Errorf("%s: item %d is on line %d and ends at %d of %d", path, it.index, it.line, it.end, len(in))
		}
		if it.bad != "" {
			continue
		}
		findings++
		if _, err := intake.Finding(it.raw); err != nil {
			t.Errorf("%s: item %d is refused: %v\n%s", path, it.index, err, it.raw)
		}
	}
}

func TestFormatsByEndingAndBeginning(t *testing.T) {
	for _, c := range []struct{ file, in, want string }{
		{"x.sarif", `{}`, "sarif"},
		{"x.json", `{"version":"2.1.0","runs":[]}`, "sarif"},
		{"-", `{"SchemaVersion":2,"ArtifactName":"a"}`, "trivy"},
		{"x.json", `{"Findings":[{"ProductArn":"p","GeneratorId":"g"}]}`, "securityhub"},
		{"x.ndjson", `{"class_uid":2004,"metadata":{}}` + "\n", "ocsf"},
		{"x.json", `[{"type":"xss","asset_id":"a","severity":"low","payload":{"runs":[],"version":1,"SchemaVersion":2,"ArtifactName":"x"}}]`, "json"},
		{"x.ndjson", `{"type":"xss","severity":"low","asset_id":"a","payload":{"class_uid":1,"metadata":{}}}` + "\n", "ndjson"},
		{"x.json", `[{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"type":"xss","asset_id":"a","severity":"low"}}]`, "cloudevents"},
		{"x.json", `{"a":1}`, "json"},
	} {
		f, err := chooseFormat("", c.file, bufio.NewReader(strings.NewReader(c.in)))
		if err != nil || f.Name != c.want {
			t.Errorf("%s with %s is %s, %v; want %s", c.file, c.in, f.Name, err, c.want)
		}
	}
}

// sarif writes a log with n results, each on a line, the rules behind them.
func sarif(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("{\"version\":\"2.1.0\",\"runs\":[{\"results\":[\n")
	for i := range n {
		fmt.Fprintf(&b, "{\"ruleId\":\"R\",\"message\":{\"text\":\"m\"},\"fingerprints\":{\"f\":\"%d\"}},\n", i)
	}
	b.WriteString("{\"message\":{\"text\":\"no rule\"}}],\"tool\":{\"driver\":{\"name\":\"lint\",\"rules\":[{\"id\":\"R\",\"defaultConfiguration\":{\"level\":\"error\"}}]}}}]}")
	path := filepath.Join(t.TempDir(), "results.sarif")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSendForeign(t *testing.T) {
	path := sarif(t, 2500)
	h := newFakeHub(t)
	h.before = func(n int) *http.Response {
		if n == 1 {
			return respond(503, "")
		}
		return nil
	}
	o := SendOptions{Client: h.client(), Files: []string{path}, Resume: true}
	if r, err := Send(t.Context(), o); err == nil || r.Accepted != 1000 {
		t.Fatalf("the first call gave %+v, %v", r, err)
	}
	var last SendProgress
	o.Progress = func(p SendProgress) { last = p }
	r, err := Send(t.Context(), o)
	if err != nil || r.Accepted != 2500 || r.Resumed != 1000 || len(h.findings) != 2500 {
		t.Fatalf("the second call gave %+v, %v", r, err)
	}
	if want := (SendReject{path, 2500, 2502, "it names no rule, by ruleId or ruleIndex"}); len(r.Rejects) != 1 || r.Rejects[0] != want {
		t.Errorf("rejects %+v, want %+v", r.Rejects, want)
	}
	if last.Bytes < last.Total*9/10 || last.Bytes > last.Total {
		t.Errorf("progress ends at %d of %d bytes", last.Bytes, last.Total)
	}
	for i, f := range h.findings {
		if !strings.HasPrefix(f, `{"source":"sarif",`) || !strings.Contains(f, fmt.Sprintf(`|f|%d"`, i)) || !strings.Contains(f, `"severity":"high"`) {
			t.Fatalf("finding %d is %s", i, f)
		}
	}
	h = newFakeHub(t)
	if _, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{sarif(t, 1)}, Source: "ci"}); err != nil || !strings.HasPrefix(h.findings[0], `{"source":"ci",`) {
		t.Errorf("%v, %v", h.findings, err)
	}
}

// A log of 30 MB goes through and leaves nothing behind, though its rules come
// last.
func TestSendForeignUsesBoundedMemory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const n, most = 10_000, 30 << 20
	result := []byte(`{"ruleId":"R","message":{"text":"` + strings.Repeat("x", 3<<10) + `"}},`)
	in := io.MultiReader(strings.NewReader(`{"runs":[{"results":[`), &endless{line: result, left: n * len(result)}, strings.NewReader(`{"ruleId":"R"}],"tool":{"driver":{"name":"t"}}}]}`))
	h := newFakeHub(t)
	var peak uint64
	h.before = func(i int) *http.Response {
		if i%5 == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
		return nil
	}
	h.lost = func(int) bool { h.findings = nil; return false } // taken, and not kept here
	r, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{"-"}, Stdin: in})
	if err != nil || r.Accepted != n+1 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if peak > most {
		t.Errorf("the heap grew to %d MB", peak>>20)
	}
	if files, _ := filepath.Glob(os.TempDir() + "/*"); len(files) > 0 {
		t.Errorf("files remain: %v", files)
	}
}
