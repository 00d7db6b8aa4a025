package report

import (
	"path/filepath"
	"testing"
	"time"
)

// What a test notes is in a file of its own when it is over, and whether it passed.
func TestAReportIsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reports")
	t.Setenv(EnvDir, dir)
	t.Setenv(EnvSize, "full")
	t.Run("one", func(t *testing.T) {
		r := Of(t, 3)
		r.Figure("samples", Size(10, 10_000))
		r.Figure("longest", 1500*time.Microsecond)
		r.Most("high", 1)
		r.Most("high", 3)
		r.Most("high", 2)
	})
	all, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := all["03-TestAReportIsWritten-one.json"]
	if r == nil || !r.Passed || r.Criterion != 3 || !r.Full || r.Machine.Cores == 0 {
		t.Fatalf("got %+v of %v", r, all)
	}
	for name, want := range map[string]any{"samples": 10_000.0, "longest_ms": 1.5, "high": 3.0} {
		if got := r.Figures[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// Without the variables, sizes are small and nothing is written.
func TestNothingIsWrittenUnasked(t *testing.T) {
	t.Setenv(EnvDir, "")
	t.Setenv(EnvSize, "")
	t.Chdir(t.TempDir())
	t.Run("one", func(t *testing.T) { Of(t, 3).Figure("samples", Size(10, 10_000)) })
	if files, err := filepath.Glob("*"); err != nil || len(files) > 0 {
		t.Errorf("wrote %v, %v", files, err)
	}
	if n := Size(10, 10_000); n != 10 {
		t.Errorf("the usual size is %d, want 10", n)
	}
}
