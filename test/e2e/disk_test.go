package e2e

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// When the disk is full the hub says so, keeps what it accepted, and goes on by
// itself when there is room again.
func TestFullDisk(t *testing.T) {
	embeddedOnly(t)
	disk := smallDisk(t, "24m")
	h := hubIn(t, disk)
	up(t, h)
	accepted := map[string]bool{} // finding ids
	findings := rig.Findings{Run: "full", Pad: 1000}
	next := 0
	send := func() *rig.Response {
		r := post(t, h, findings.Append(nil, next))
		if next++; r.Status == http.StatusAccepted {
			accepted[findingID(r.Body)] = true
		}
		return r
	}
	for range 50 {
		if r := send(); r.Status != http.StatusAccepted {
			t.Fatalf("before the disk is full: %d %s", r.Status, r.Body)
		}
	}
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast, 512<<10)
	refusal := sendUntil(t, "a refusal", send, http.StatusServiceUnavailable)
	if refusal.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	checkProblem(t, refusal, "/api/v1/findings", "")
	checkNotReady(t, h)
	t.Logf("full after %d findings", len(accepted))
	for range 20 { // a full disk stays an orderly refusal
		if r := send(); r.Status != http.StatusServiceUnavailable && r.Status != http.StatusAccepted {
			t.Errorf("on a full disk: %d %s", r.Status, r.Body)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	freed := time.Now()
	eventually(t, "takes findings again", timeLong, func() bool { return send().Status == http.StatusAccepted })
	t.Logf("took findings again %v after there was room", time.Since(freed).Round(time.Millisecond))
	eventually(t, "ready again", timeLong, func() bool {
		r, err := h.Call(t.Context(), http.MethodGet, "/ready", nil)
		return err == nil && r.Status == http.StatusOK
	})
	for range 20 {
		if r := send(); r.Status != http.StatusAccepted {
			t.Errorf("after the disk has room: %d %s", r.Status, r.Body)
		}
	}
	checkTriaged(t, h, accepted)
	stop(t, h)
	verified(t, h)
}

// checkTriaged checks that every accepted finding gets into an alert.
func checkTriaged(t *testing.T, h *rig.Hub, accepted map[string]bool) {
	t.Helper()
	missing := ""
	eventually(t, "every accepted finding in an alert", timeLong, func() bool {
		alerts := findingAlerts(t, h)
		missing = ""
		for id := range accepted {
			if alerts[id] == "" {
				missing = id
				return false
			}
		}
		return true
	})
	if missing != "" {
		t.Errorf("finding %s was accepted and is in no alert", missing)
	}
}

func sendUntil(t *testing.T, what string, send func() *rig.Response, status int) *rig.Response {
	t.Helper()
	for range 5000 {
		r := send()
		if r.Status == status {
			return r
		}
		if r.Status != http.StatusAccepted {
			t.Fatalf("waiting for %s: %d %s", what, r.Status, r.Body)
		}
	}
	t.Fatalf("no %s after 5,000 findings", what)
	return nil
}

func checkNotReady(t *testing.T, h *rig.Hub) {
	t.Helper()
	r, err := h.Call(t.Context(), http.MethodGet, "/ready", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Checks map[string]string `json:"checks"`
	}
	if err := json.Unmarshal(r.Body, &got); err != nil {
		t.Fatal(err)
	}
	if text := strings.ToLower(got.Checks["store"]); r.Status != http.StatusServiceUnavailable || !strings.Contains(text, "full") && !strings.Contains(text, "space") {
		t.Errorf("/ready on a full disk: %d %s; want 503 and that the disk is full", r.Status, r.Body)
	}
	if alive, err := h.Call(t.Context(), http.MethodGet, "/health", nil); err != nil || alive.Status != http.StatusOK {
		t.Errorf("/health on a full disk: %+v, %v; the process lives", alive, err)
	}
}

// smallDisk mounts a file system of its own for the test.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	const remedy = "run the tests as root on Linux, where a tmpfs may be mounted"
	if _, err := exec.LookPath("mount"); err != nil {
		missing(t, "there is no mount command", remedy)
	}
	if text, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		missing(t, "a small file system cannot be mounted: "+strings.TrimSpace(string(text)), remedy)
	}
	t.Cleanup(func() {
		if text, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, text)
		}
	})
	return dir
}

// fill writes a file until the disk is full, but for room bytes.
func fill(t *testing.T, path string, room int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk ended with %v after %d bytes", err, n)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(max(info.Size()-room, 0)); err != nil {
		t.Fatal(err)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
