// Criteria shows that the acceptance criteria of docs/criteria.md are met: it runs
// the tests and benches that stand there, at full size, keeps what each has
// measured as JSON in bench-results/criteria/, and prints a table. It fails if a
// test fails or could not be run.
//
//	go run ./test/criteria
//	go run ./test/criteria --only 3,4
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/report"
)

// A verdict is the report of one criterion.
type verdict struct {
	Criterion int            `json:"criterion"`
	Name      string         `json:"name"`
	Shown     bool           `json:"shown"`
	Seconds   float64        `json:"seconds"`
	Tests     []test         `json:"tests,omitempty"`
	Bench     string         `json:"bench,omitempty"`
	Missed    []string       `json:"missed,omitempty"` // by the bench
	Machine   report.Machine `json:"machine"`
}

// A test is how one ended.
type test struct {
	Package string         `json:"package"`
	Name    string         `json:"name"`
	Result  string         `json:"result"` // pass, fail or skip
	Seconds float64        `json:"seconds"`
	Figures map[string]any `json:"figures,omitempty"`
}

func main() {
	only := flag.String("only", "", "numbers of criteria, by comma; all if not given")
	dir := flag.String("dir", filepath.Join("bench-results", "criteria"), "folder for the reports")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "criteria:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, only, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	wanted := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	var all []verdict
	for _, c := range criteria {
		if len(wanted) > 0 && !slices.Contains(wanted, fmt.Sprint(c.number)) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s  criterion %d, %s\n", time.Now().Format(time.TimeOnly), c.number, c.name)
		v, err := c.show(ctx, dir)
		if err != nil {
			return fmt.Errorf("criterion %d: %w", c.number, err)
		}
		if _, err := report.Write(dir, fmt.Sprintf("criterion-%02d", c.number), v); err != nil {
			return err
		}
		all = append(all, *v)
	}
	if len(all) == 0 {
		return fmt.Errorf("--only %s is no criterion", only)
	}
	table(os.Stdout, all)
	if slices.ContainsFunc(all, func(v verdict) bool { return !v.Shown }) {
		return errors.New("not all are shown; see " + dir)
	}
	return nil
}

// show runs what shows a criterion.
func (c *criterion) show(ctx context.Context, dir string) (*verdict, error) {
	v := &verdict{Criterion: c.number, Name: c.name, Shown: true, Bench: c.bench, Machine: report.Describe(".")}
	start := time.Now()
	old, _ := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%02d-*.json", c.number)))
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return nil, err
		}
	}
	for _, s := range c.tests {
		if err := s.run(ctx, dir, v); err != nil {
			return nil, err
		}
	}
	if c.bench != "" {
		if err := v.measure(ctx, dir); err != nil {
			return nil, err
		}
	}
	v.Seconds = time.Since(start).Seconds()
	return v, v.figures(dir)
}

// measure runs parts of the bench; what they were to reach and did not is missed.
func (v *verdict) measure(ctx context.Context, dir string) error {
	before, _ := filepath.Glob(filepath.Join(dir, "bench-*.json"))
	cmd := command(ctx, dir, "go", "run", "./test/bench", "--only", v.Bench)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		v.Shown = false
		return ctx.Err()
	}
	after, _ := filepath.Glob(filepath.Join(dir, "bench-*.json"))
	for _, file := range after {
		if slices.Contains(before, file) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var said struct {
			Rows []struct {
				Part string `json:"part"`
				Name string `json:"name"`
				Note string `json:"note"`
			} `json:"rows"`
		}
		if err := json.Unmarshal(text, &said); err != nil {
			return err
		}
		for _, r := range said.Rows {
			if strings.Contains(r.Note, "does not hold") {
				v.Missed, v.Shown = append(v.Missed, r.Part+", "+r.Name+": "+r.Note), false
			}
		}
	}
	return nil
}

func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), report.EnvDir+"="+dir, report.EnvSize+"=full")
	return cmd
}

// run runs the tests of one package.
func (s *suite) run(ctx context.Context, dir string, v *verdict) error {
	names := "^(" + strings.Join(s.names, "|") + ")$"
	cmd := command(ctx, dir, "go", "test", "-json", "-count=1", "-timeout=45m", "-run", names, "./"+s.pkg)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	found := s.listen(out, v)
	if err := cmd.Wait(); err != nil {
		v.Shown = false
	}
	for _, name := range s.names {
		if !found[name] {
			v.Shown = false
			v.Tests = append(v.Tests, test{Package: s.pkg, Name: name, Result: "missing"})
		}
	}
	return ctx.Err()
}

// An event is a line of go test -json.
type event struct {
	Action, Test, Output string
	Elapsed              float64
}

// listen notes how the tests end, and shows what those say that do not pass.
func (s *suite) listen(out io.Reader, v *verdict) map[string]bool {
	found, said := map[string]bool{}, map[string]*strings.Builder{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Test == "" {
			continue
		}
		name, _, part := strings.Cut(e.Test, "/")
		switch e.Action {
		case "output":
			if said[name] == nil {
				said[name] = &strings.Builder{}
			}
			said[name].WriteString(e.Output)
		case "skip", "fail":
			v.Shown = false
			fmt.Fprintf(os.Stderr, "%s: %s %s\n", s.pkg, e.Action, e.Test)
			if !part && said[name] != nil {
				fmt.Fprint(os.Stderr, said[name].String())
			}
			fallthrough
		case "pass":
			if !part {
				found[name] = true
				v.Tests = append(v.Tests, test{Package: s.pkg, Name: name, Result: e.Action, Seconds: e.Elapsed})
			}
		}
	}
	return found
}

// figures takes in what the tests wrote.
func (v *verdict) figures(dir string) error {
	all, err := report.Read(dir)
	for i := range v.Tests {
		t := &v.Tests[i]
		if r := all[fmt.Sprintf("%02d-%s.json", v.Criterion, t.Name)]; r != nil {
			t.Figures = r.Figures
		}
	}
	return err
}

func table(out io.Writer, all []verdict) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\ncriterion\tshown\tseconds\ttests\tfigures")
	for _, v := range all {
		fmt.Fprintf(w, "%d %s\t%s\t%.0f\t%d\t%s\n", v.Criterion, v.Name, map[bool]string{true: "yes", false: "NO"}[v.Shown],
			v.Seconds, len(v.Tests), cmp.Or(v.Bench, "–"))
		for _, missed := range v.Missed {
			fmt.Fprintf(w, "\tmissed\t\t\t%s\n", missed)
		}
		for _, t := range v.Tests {
			if t.Figures != nil || t.Result != "pass" {
				fmt.Fprintf(w, "\t%s\t%.1f\t\t%s: %s\n", t.Result, t.Seconds, t.Name, line(t.Figures))
			}
		}
	}
	_ = w.Flush()
}

func line(figures map[string]any) string {
	var all []string
	for name, value := range figures {
		all = append(all, fmt.Sprintf("%s %v", strings.ReplaceAll(name, "_", " "), value))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
