package trivy

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(read)) }
func FuzzRead(f *testing.F)  { connectortest.Fuzz(f, connectortest.Of(read)) }

const small = `{"SchemaVersion":2,"CreatedAt":"2026-05-01T10:00:00Z","ArtifactName":"app:1","ArtifactType":"container_image","Results":[{"Target":"app","Class":"lang-pkgs","Type":"npm",` +
	`"Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"a","Severity":"HIGH"},{"VulnerabilityID":"CVE-2","PkgName":"b","Severity":"LOW"}],"Secrets":[{"RuleID":"s","Severity":"HIGH"}]}]}`

func TestGuarded(t *testing.T) { connectortest.Guarded(t, Kind(), "", []byte(small), 3) }

// The order of names means nothing, also where a list comes before what it
// belongs to.
func TestOrderOfNames(t *testing.T) {
	const turned = `{"Results":[{"Secrets":[{"RuleID":"s","Severity":"HIGH"}],"Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"a","Severity":"HIGH"},{"VulnerabilityID":"CVE-2","PkgName":"b","Severity":"LOW"}],` +
		`"Type":"npm","Class":"lang-pkgs","Target":"app"}],"ArtifactType":"container_image","ArtifactName":"app:1","CreatedAt":"2026-05-01T10:00:00Z","SchemaVersion":2}`
	a, err1 := connectortest.Of(read)([]byte(small))
	b, err2 := connectortest.Of(read)([]byte(turned))
	if diff := cmp.Diff(a, b); err1 != nil || err2 != nil || diff != "" || len(a.Findings) != 3 {
		t.Errorf("%v, %v, %s", err1, err2, diff)
	}
}

// What changes from scan to scan is no part of the identity, and what tells
// findings apart is.
func TestIdentity(t *testing.T) {
	of := func(vuln, artifact string) string {
		in := `{"ArtifactName":"` + artifact + `","ArtifactType":"filesystem","Results":[{"Target":"go.sum","Class":"lang-pkgs","Vulnerabilities":[` + vuln + `]}]}`
		b, err := connectortest.Of(read)([]byte(in))
		if err != nil || len(b.Findings) != 1 {
			t.Fatalf("%s: %+v, %v", in, b, err)
		}
		return b.Findings[0].SourceID
	}
	base := of(`{"VulnerabilityID":"CVE-1","PkgName":"a","InstalledVersion":"1","Severity":"LOW"}`, "r")
	if of(`{"VulnerabilityID":"CVE-1","PkgName":"a","InstalledVersion":"2","Severity":"HIGH","Title":"x","FixedVersion":"3"}`, "r") != base {
		t.Error("version, severity, title or fix make another identity")
	}
	for _, other := range []string{
		of(`{"VulnerabilityID":"CVE-2","PkgName":"a"}`, "r"), of(`{"VulnerabilityID":"CVE-1","PkgName":"b"}`, "r"),
		of(`{"VulnerabilityID":"CVE-1","PkgName":"a"}`, "s"), of(`{"VulnerabilityID":"CVE-1","PkgName":"a","PkgPath":"x.jar"}`, "r"),
	} {
		if other == base {
			t.Errorf("%s is the identity of another", other)
		}
	}
}

func TestWhatIsNoReport(t *testing.T) {
	for _, in := range []string{`{}`, `{"Results":[]}`, `7`, `[{"runs":[]}]`} {
		if b, err := connectortest.Of(read)([]byte(in)); err != nil || len(b.Rejects) != 1 {
			t.Errorf("%s: %+v, %v", in, b, err)
		}
	}
	for _, in := range []string{`{"ArtifactName":"clean","ArtifactType":"filesystem","Results":null}`, ``, `[]`} {
		if b, err := connectortest.Of(read)([]byte(in)); err != nil || len(b.Rejects)+len(b.Findings) != 0 {
			t.Errorf("%s: %+v, %v", in, b, err)
		}
	}
}

// endless is a report with n vulnerabilities, made while it is read.
func endless(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, `{"ArtifactName":"big","ArtifactType":"filesystem","Results":[{"Target":"t","Class":"lang-pkgs","Vulnerabilities":[`)
		about := strings.Repeat("x", 2000)
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintf(w, `{"VulnerabilityID":"CVE-%d","PkgName":"p","Severity":"LOW","Description":%q},`, i, about)
		}
		_, _ = io.WriteString(w, `{"VulnerabilityID":"CVE-last","PkgName":"p","Severity":"LOW"}]}]}`)
		w.Close()
	}()
	return r
}

// TestALongReport reads 20 MB and holds little of it.
func TestALongReport(t *testing.T) {
	r := read(endless(10_000))
	defer r.Close()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, most := 0, uint64(0)
	for ; ; n++ {
		part, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || part.Reject != "" || part.Findings[0].Severity != hub.Low {
			t.Fatalf("item %d: %+v, %v", n, part, err)
		}
		if n%3_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
	}
	if n != 10_001 || most > before.HeapAlloc+8<<20 {
		t.Errorf("%d items, %d bytes held", n, most-before.HeapAlloc)
	}
}

// A reading that is given up leaves nothing behind.
func TestClosedEarly(t *testing.T) {
	r := read(strings.NewReader(small))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after Close: %v", err)
	}
}

func TestRawIsTheItem(t *testing.T) {
	b, _ := connectortest.Of(read)([]byte(small))
	var v struct{ PkgName string }
	if err := json.Unmarshal(b.Findings[1].Raw, &v); err != nil || v.PkgName != "b" {
		t.Errorf("raw is %s", b.Findings[1].Raw)
	}
}
