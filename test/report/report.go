// Package report keeps what tests and benches measured, as JSON files.
//
// A test that shows an acceptance criterion of docs/criteria.md notes its figures
// in a [Report], which becomes a file of the folder that TOCSIN_REPORTS names when
// the test ends. Without that variable nothing is written. TOCSIN_CRITERIA=full
// asks for the sizes that a criterion names in place of those of everyday runs;
// `make criteria` sets both.
package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The environment that decides what is written and how much is tried.
const (
	EnvDir  = "TOCSIN_REPORTS"
	EnvSize = "TOCSIN_CRITERIA"
)

// Dir is the folder that reports go to; "" for none.
func Dir() string { return os.Getenv(EnvDir) }

// Full reports whether the sizes of the criteria are asked for.
func Full() bool { return os.Getenv(EnvSize) == "full" }

// Size picks how much of something is tried.
func Size(usual, full int) int {
	if Full() {
		return full
	}
	return usual
}

// A Report is what one test has to show for a criterion. Its methods must not be
// called at once from several goroutines.
type Report struct {
	Criterion int            `json:"criterion"`
	Test      string         `json:"test"`
	Passed    bool           `json:"passed"`
	Full      bool           `json:"full_size"`
	Seconds   float64        `json:"seconds"`
	Figures   map[string]any `json:"figures"`
	Machine   Machine        `json:"machine"`
}

// Test is what a report needs of a [testing.T].
type Test interface {
	Helper()
	Name() string
	Failed() bool
	Skipped() bool
	Cleanup(func())
	Errorf(format string, args ...any)
}

// Of begins the report of a test about a criterion. It is written when the test
// ends.
func Of(t Test, criterion int) *Report {
	t.Helper()
	r := &Report{Criterion: criterion, Test: t.Name(), Full: Full(), Figures: map[string]any{}}
	if Dir() == "" {
		return r
	}
	start := time.Now()
	t.Cleanup(func() {
		if t.Skipped() {
			return
		}
		r.Passed, r.Seconds = !t.Failed(), time.Since(start).Seconds()
		r.Machine = Describe(os.TempDir())
		name := fmt.Sprintf("%02d-%s", criterion, strings.ReplaceAll(t.Name(), "/", "-"))
		if _, err := Write(Dir(), name, r); err != nil {
			t.Errorf("report: %v", err)
		}
	})
	return r
}

// Figure notes a measurement: a number, a text, or a list of them. A duration is
// kept in milliseconds under a name that says so.
func (r *Report) Figure(name string, value any) {
	if d, ok := value.(time.Duration); ok {
		name, value = name+"_ms", float64(d.Microseconds())/1000
	}
	r.Figures[name] = value
}

// Most notes a measurement if it is larger than what is noted under its name.
func (r *Report) Most(name string, value float64) {
	if was, ok := r.Figures[name].(float64); !ok || value > was {
		r.Figures[name] = value
	}
}

// Write puts v into dir as a JSON file of that name and gives its path.
func Write(dir, name string, v any) (string, error) {
	text, err := json.Marshal(v, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, name+".json")
	return file, os.WriteFile(file, append(text, '\n'), 0o644)
}

// Read gives the reports of tests in dir, by file name.
func Read(dir string) (map[string]*Report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "[0-9][0-9]-*.json"))
	out := map[string]*Report{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		r := new(Report)
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out[filepath.Base(file)] = r
	}
	return out, err
}
