package report

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A Machine is what figures were measured on.
type Machine struct {
	Time   time.Time `json:"time"`
	CPU    string    `json:"cpu"`
	Cores  int       `json:"cores"`
	Kernel string    `json:"kernel"`
	Disk   string    `json:"disk"` // file system and device
	Fsync  float64   `json:"fsync_p50_ms,omitzero"`
	Memory string    `json:"memory"`
	Load   string    `json:"load_average"` // before a bench, after a test
	Go     string    `json:"go"`
	Commit string    `json:"commit"`
}

// Describe says what it can find out about this machine and the disk that dir is
// on; the rest is "unknown".
func Describe(dir string) Machine {
	return Machine{
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
