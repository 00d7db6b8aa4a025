// Package openapi has somebody else's fuzzer read the hub's OpenAPI document and
// try everything that it says: no answer may be a 500, of an undocumented status
// or type, or of another form than the document's.
//
// TOCSIN_FUZZ_EXAMPLES=200 go test ./test/conformance/openapi tries more.
package openapi

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// checks are all but those that ask for what the hub does not promise: that every
// body which fits the document is accepted (a URL may be forbidden), that every
// one which does not is refused (null is the same as leaving out), and what the
// project's own tests know better (who may do what).
var checks = []string{
	"not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
	"response_schema_conformance", "missing_required_header", "allow_header_conformance",
}

func TestFuzzed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	fuzzer := schemathesis(t)
	binary, err := rig.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h, err := rig.NewHub(binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Kill() //nolint:errcheck // its data is thrown away
	if _, err := h.Up(ctx); err != nil {
		t.Fatal(err)
	}
	findings := rig.Findings{Run: "openapi"} // so that there is something to find
	if err := h.Post(ctx, "/findings?wait=true", findings.Append(nil, 0), nil); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, fuzzer, "run", h.URL("/api/v1/openapi.json"), "--header", "Authorization: Bearer "+rig.Key,
		"--max-examples", cmp.Or(os.Getenv("TOCSIN_FUZZ_EXAMPLES"), "10"), "--phases", "examples,coverage,fuzzing", "--checks", strings.Join(checks, ","),
		"--workers", "2", "--request-timeout", "30", "--no-color")
	cmd.Dir = t.TempDir() // it leaves a folder behind
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s\nthe hub's last words:\n%s", err, text, h.Stderr())
	}
	t.Logf("%s", text[max(0, len(text)-600):])
}

// schemathesis finds the fuzzer that make deps installs.
func schemathesis(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../.cache/venv/bin/schemathesis")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("schemathesis is not installed (%v); in CI it has to be there: make deps", err)
		}
		t.Skipf("NOT TESTED: schemathesis is not installed. To test it: make deps")
	}
	return path
}
