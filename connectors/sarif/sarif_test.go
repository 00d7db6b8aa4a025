package sarif

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func plainRead(r io.Reader) connectors.Reading { return read(r, "") }

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(plainRead)) }
func FuzzRead(f *testing.F)  { connectortest.Fuzz(f, connectortest.Of(plainRead)) }

func log(run string) string { return `{"version":"2.1.0","runs":[{` + run + `}]}` }

const (
	tool    = `"tool":{"driver":{"name":"lint","rules":[{"id":"R1","shortDescription":{"text":"Short."},"defaultConfiguration":{"level":"error"}},{"id":"R2","properties":{"security-severity":"9.1","tags":["security"]}}]}}`
	results = `"results":[{"ruleId":"R1","message":{"text":"m"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.go"},"region":{"startLine":7}}}]},{"ruleIndex":1,"message":{"text":"n"}}]`
)

func TestGuarded(t *testing.T) {
	connectortest.Guarded(t, Kind(), "asset: shop\n", []byte(log(tool+","+results)), 2)
}

// Results may stand before the rules and the repository that they refer to.
func TestOrderOfNames(t *testing.T) {
	const where = `"versionControlProvenance":[{"repositoryUri":"https://git.example/a"}],"invocations":[{"executionSuccessful":true,"endTimeUtc":"2026-05-01T10:00:00Z"}]`
	a, err1 := connectortest.Of(plainRead)([]byte(log(tool + "," + where + "," + results)))
	b, err2 := connectortest.Of(plainRead)([]byte(log(results + "," + where + "," + tool)))
	if diff := cmp.Diff(a, b); err1 != nil || err2 != nil || diff != "" || len(a.Findings) != 2 {
		t.Fatalf("%v, %v, %s", err1, err2, diff)
	}
	if f := a.Findings[1]; f.Severity != hub.Critical || f.AssetID != "https://git.example/a" || !f.ObservedGiven {
		t.Errorf("%+v", f)
	}
}

func one(t *testing.T, result string) hub.Finding {
	t.Helper()
	b, err := connectortest.Of(plainRead)([]byte(log(tool + `,"results":[` + result + `]`)))
	if err != nil || len(b.Findings) != 1 {
		t.Fatalf("%s: %+v, %v", result, b, err)
	}
	return b.Findings[0]
}

func TestIdentity(t *testing.T) {
	const form = `{"ruleId":%q,"level":%q,"message":{"text":%q},"locations":[{"physicalLocation":{"artifactLocation":{"uri":%q},"region":{"startLine":%d,"snippet":{"text":%q}}}}],%s}`
	base := one(t, fmt.Sprintf(form, "R1", "error", "line 7 is bad", "a.go", 7, "x :=  y", `"rank":1`)).SourceID
	for name, c := range map[string]struct {
		result string
		same   bool
	}{
		"another line, level, message, spaces": {fmt.Sprintf(form, "R1", "note", "line 9", "a.go", 9, " x := y\n", `"rank":2`), true},
		"another file":                         {fmt.Sprintf(form, "R1", "error", "m", "b.go", 7, "x := y", `"rank":1`), false},
		"another rule":                         {fmt.Sprintf(form, "R2", "error", "m", "a.go", 7, "x := y", `"rank":1`), false},
		"other code":                           {fmt.Sprintf(form, "R1", "error", "m", "a.go", 7, "x := z", `"rank":1`), false},
		"a fingerprint":                        {fmt.Sprintf(form, "R1", "error", "m", "a.go", 7, "x := y", `"partialFingerprints":{"a":"1"}`), false},
	} {
		if got := one(t, c.result).SourceID == base; got != c.same {
			t.Errorf("%s: same %v, want %v", name, got, c.same)
		}
	}
	same := func(a, b string) bool {
		return one(t, fmt.Sprintf(form, "R1", "error", "m", "a.go", 7, "x", a)).SourceID == one(t, fmt.Sprintf(form, "R1", "error", "n", "a.go", 8, "y", b)).SourceID
	}
	if !same(`"partialFingerprints":{"primaryLocationLineHash":"h:1","other":"1"}`, `"partialFingerprints":{"primaryLocationLineHash":"h:1","other":"2"}`) {
		t.Error("primaryLocationLineHash does not count alone")
	}
	if same(`"fingerprints":{"a":"1"}`, `"fingerprints":{"a":"2"}`) || !same(`"fingerprints":{"a":"1"},"partialFingerprints":{"x":"1"}`, `"fingerprints":{"a":"1"},"partialFingerprints":{"x":"2"}`) {
		t.Error("fingerprints do not count before partial ones")
	}
	if bare := `{"ruleId":"R1","message":{"text":"%s"}}`; one(t, fmt.Sprintf(bare, "7 of 8 bad")).SourceID != one(t, fmt.Sprintf(bare, "9 of 10 bad")).SourceID {
		t.Error("numbers in a message count")
	}
}

func TestSeverityAndStatus(t *testing.T) {
	for _, c := range []struct {
		result   string
		severity hub.Severity
		status   hub.FindingStatus
	}{
		{`{"ruleId":"R1"}`, hub.High, "open"},
		{`{"ruleId":"R1","level":"warning"}`, hub.Medium, "open"},
		{`{"ruleId":"R1","level":"note"}`, hub.Low, "open"},
		{`{"ruleId":"R1","level":"none"}`, hub.Info, "open"},
		{`{"ruleId":"R9"}`, hub.Medium, "open"},
		{`{"ruleId":"R2","level":"note"}`, hub.Critical, "open"},
		{`{"ruleId":"R2/1"}`, hub.Critical, "open"},
		{`{"ruleId":"R2","properties":{"security-severity":4}}`, hub.Medium, "open"},
		{`{"ruleId":"R1","kind":"pass"}`, hub.Info, "resolved"},
		{`{"ruleId":"R1","kind":"review"}`, hub.Info, "open"},
		{`{"ruleId":"R1","baselineState":"absent"}`, hub.High, "resolved"},
		{`{"ruleId":"R1","baselineState":"unchanged"}`, hub.High, "open"},
		{`{"ruleId":"R1","suppressions":[{"kind":"inSource"}]}`, hub.High, "resolved"},
		{`{"ruleId":"R1","suppressions":[{"kind":"external","status":"accepted"},{"kind":"external","status":"underReview"}]}`, hub.High, "open"},
		{`{"ruleId":"R1","suppressions":[{"kind":"external","status":"rejected"}]}`, hub.High, "open"},
		{`{"ruleId":"R1","suppressions":[]}`, hub.High, "open"},
	} {
		if f := one(t, c.result); f.Severity != c.severity || f.Status != c.status {
			t.Errorf("%s is %s and %s, want %s and %s", c.result, f.Severity, f.Status, c.severity, c.status)
		}
	}
}

func TestWhatIsNoLog(t *testing.T) {
	for in, rejects := range map[string]int{`{}`: 1, `{"version":"2.1.0"}`: 1, `7`: 1, log(`"results":[7,{}]`): 2, log(`"results":null`): 0, `{"runs":[]}`: 0, log(`"results":[{"ruleId":"R","kind":"notApplicable"}]`): 0} {
		if b, err := connectortest.Of(plainRead)([]byte(in)); err != nil || len(b.Rejects) != rejects || len(b.Findings) > 0 {
			t.Errorf("%s: %+v, %v", in, b, err)
		}
	}
}

// endless is a log with n results before their rules, made while it is read.
func endless(n int) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, `{"runs":[{"results":[`)
		words := strings.Repeat("x", 2000)
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintf(w, `{"ruleId":"R%d","message":{"text":%q}},`, i%2+1, words)
		}
		_, _ = io.WriteString(w, `{"ruleId":"R1"}],`+tool+`}]}`)
		w.Close()
	}()
	return r
}

// TestALongLog reads 20 MB, holds little of it and leaves no file behind, also
// when it is given up.
func TestALongLog(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, stop := range []int{-1, 10} {
		r := plainRead(endless(10_000))
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		n := 0
		for ; n != stop; n++ {
			part, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || part.Reject != "" || part.Findings[0].Severity == hub.Medium {
				t.Fatalf("item %d: %+v, %v", n, part, err)
			}
			if n%3_000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&now)
				if now.HeapAlloc > before.HeapAlloc+24<<20 {
					t.Errorf("%d bytes are held", now.HeapAlloc-before.HeapAlloc)
				}
			}
		}
		if stop < 0 && n != 10_001 {
			t.Errorf("%d items", n)
		}
		r.Close()
		if files, _ := filepath.Glob(os.TempDir() + "/*"); len(files) > 0 {
			t.Errorf("files remain: %v", files)
		}
	}
}
