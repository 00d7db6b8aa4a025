package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A machine is what the figures were measured on.
type machine struct {
	Time   time.Time `json:"time"`
	CPU    string    `json:"cpu"`
	Cores  int       `json:"cores"`
	Kernel string    `json:"kernel"`
	Disk   string    `json:"disk"` // file system and device
	Fsync  float64   `json:"fsync_p50_ms"`
	Memory string    `json:"memory"`
	Load   string    `json:"load_average_before"`
	Go     string    `json:"go"`
	Commit string    `json:"commit"`
}

// describe says what it can find out; the rest is "unknown".
func describe(dir string) machine {
	return machine{
		Time: time.Now().UTC().Truncate(time.Second), CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Kernel: firstLine("/proc/sys/kernel/osrelease"), Disk: disk(dir), Memory: field("/proc/meminfo", "MemTotal"),
		Load: firstLine("/proc/loadavg"), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		Commit: output("git", "describe", "--always", "--dirty", "--tags"),
	}
}

const unknown = "unknown"

func field(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

func firstLine(path string) string {
	text, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	return cmp.Or(line, unknown)
}

func output(name string, args ...string) string {
	text, _ := exec.Command(name, args...).Output()
	return cmp.Or(strings.TrimSpace(string(text)), unknown)
}

// disk gives the file system that dir is on: the longest mount point above it.
func disk(dir string) string {
	dir, _ = filepath.Abs(dir)
	text, _ := os.ReadFile("/proc/mounts")
	best, out := -1, unknown
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) <= best {
			continue
		}
		if f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/") {
			best, out = len(f[1]), f[2]+" on "+f[0]
		}
	}
	return out
}

// report writes the table and the file.
func report(m *machine, b *bench, took time.Duration, asJSON bool) error {
	m.Fsync = ms(b.limits.fsync)
	text, err := json.Marshal(struct {
		Machine machine `json:"machine"`
		Quick   bool    `json:"quick,omitzero"`
		Seconds int     `json:"seconds"`
		Rows    []row   `json:"rows"`
	}{*m, b.quick, int(took.Seconds()), b.rows}, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	file := filepath.Join("bench-results", m.Time.Format("20060102T150405Z")+".json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return err
	}
	if asJSON {
		_, err = fmt.Println(string(text))
		return err
	}
	return b.table(m, file, took)
}

func (b *bench) table(m *machine, file string, took time.Duration) error {
	fmt.Printf("\n%s, %d cores; Linux %s; %s; %s; commit %s\nload before: %s; took %v; kept in %s\n\n",
		m.CPU, m.Cores, m.Kernel, m.Disk, m.Go, m.Commit, m.Load, took.Round(time.Second), file)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "per s\tp50 ms\tp99 ms\tmax ms\tCPU s/1000\tRSS MiB\tread KiB\twrite KiB\tshare\t\twhat\t")
	for _, r := range b.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\t%s\t\n", show(r.PerSecond, 0), show(r.P50, 2), show(r.P99, 2), show(r.Max, 1),
			show(r.CPU, 3), show(r.RSS, 0), show(r.In, 1), show(r.Out, 1), r.share(), r.Part+": "+r.Name)
		if r.Note != "" {
			fmt.Fprintf(w, "\t\t\t\t\t\t\t\t\t\t  %s\t\n", r.Note)
		}
	}
	if b.quick {
		fmt.Fprintln(w, "\t\t\t\t\t\t\t\t\t\t--quick: a smoke test, not a measurement\t")
	}
	return w.Flush()
}

func show(v float64, digits int) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, v)
}

func (r row) share() string {
	if r.Limit == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%% of %.0f (%s)", 100*r.Share, r.Limit, r.Of)
}

func (r row) sentence() string {
	return fmt.Sprintf("%s: %.0f %s/s, p50 %.2f, p99 %.2f, max %.1f ms, %.3f CPU s per 1,000, peak %.0f MiB, %s",
		r.Name, r.PerSecond, r.Unit, r.P50, r.P99, r.Max, r.CPU, r.RSS, r.share())
}
