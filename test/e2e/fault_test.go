package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// A fault is one system call of the store that fails, and with it, in other
// threads, the call of the same number.
type fault struct {
	call, error string
	nth         int
}

// String names the fault as strace takes it.
func (f fault) String() string { return fmt.Sprintf("%s:error=%s:when=%d", f.call, f.error, f.nth) }

// ranges are how many calls of each kind a thread makes at most in a start and
// the workload, about. What lies beyond is reported as not reached.
var ranges = []struct {
	call   string
	errors []string
	most   int
}{
	{"pwrite64", []string{"EIO", "ENOSPC"}, 500},
	{"fsync", []string{"EIO"}, 45},
	{"ftruncate", []string{"EIO"}, 6},
}

// Whichever write fails, what was answered with 2xx is there afterwards.
func TestEveryWriteFails(t *testing.T) {
	embeddedOnly(t)
	strace, err := exec.LookPath("strace")
	if err != nil {
		missing(t, "strace is not there", "apt-get install -y strace")
	}
	findings := rig.Findings{Run: "fault"}
	in := newInbox(t, findings, false)
	tally := map[string]int{}
	for _, f := range chooseFaults(t) {
		failed := !t.Run(f.String(), func(t *testing.T) { tally[faultOnce(t, strace, f, findings, in)]++ })
		if failed {
			break // each failure takes long, and one is enough to look at
		}
	}
	t.Log(tally)
}

// chooseFaults gives every fault, or some by chance.
func chooseFaults(t *testing.T) []fault {
	t.Helper()
	var all []fault
	for _, r := range ranges {
		for n := 1; n <= r.most; n++ {
			for _, e := range r.errors {
				all = append(all, fault{r.call, e, n})
			}
		}
	}
	if os.Getenv("TOCSIN_E2E_FAULTS") == "all" {
		return all
	}
	rnd := random(t)
	n := number(t, "TOCSIN_E2E_FAULTS", 40, 6)
	chosen := make([]fault, 0, n)
	for i := range n { // each kind of call has its turn
		r := ranges[i%len(ranges)]
		if i%2 == 0 {
			r = ranges[0]
		}
		chosen = append(chosen, fault{r.call, r.errors[rnd.IntN(len(r.errors))], 1 + rnd.IntN(r.most)})
	}
	return chosen
}

// faultOnce runs a hub under a fault with a small workload, then without, and
// checks that nothing accepted was lost. It tells how the hub took it.
func faultOnce(t *testing.T, strace string, f fault, findings rig.Findings, in *inbox) string {
	h := newHub(t)
	path := "/" + strings.ReplaceAll(f.String(), ":", "/")
	config, err := endpointConfig(t, in, path)
	if err != nil {
		t.Fatal(err)
	}
	h.Config, h.Env = config, []string{"GOMAXPROCS=1"}
	trace := filepath.Join(t.TempDir(), "trace")
	h.Wrap = []string{strace, "-f", "--seccomp-bpf", "-o", trace, "-e", "trace=" + f.call, "-e", "inject=" + f.String()}
	accepted := map[string]int{}
	result := underFault(t, h, findings, accepted)
	if err := h.Kill(); err != nil {
		t.Fatal(err)
	}
	h.Wrap = nil
	if result == noHarm && !injected(t, trace) {
		result = "not reached"
	}
	up(t, h)
	ids := map[string]bool{}
	for id := range accepted {
		ids[id] = true
	}
	checkTriaged(t, h, ids)
	in.wait(t, path, fmt.Sprintf("the %d accepted findings", len(accepted)), func(b *box) bool {
		for _, i := range accepted {
			if b.indexes[i] == 0 {
				return false
			}
		}
		return true
	})
	in.look(path, func(b *box) {
		if len(b.changed) > 0 {
			t.Errorf("%d repeats had another body", len(b.changed))
		}
	})
	stop(t, h)
	verified(t, h)
	return result
}

// noHarm is when nobody outside noticed the fault.
const noHarm = "not noticed"

// injected reports whether strace made a call fail.
func injected(t *testing.T, trace string) bool {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "(INJECTED)")
}

// underFault starts the hub and sends findings until each was accepted or the
// hub has gone; it may refuse, but only in good order.
func underFault(t *testing.T, h *rig.Hub, findings rig.Findings, accepted map[string]int) string {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if _, err := h.Up(ctx); err != nil {
		select {
		case <-h.Ended():
			return "did not start"
		default:
			t.Fatal(err)
		}
	}
	result := noHarm
	for i := range 12 {
		taken := false
		err := rig.Poll(ctx, 50*time.Millisecond, func() bool {
			r, err := h.Call(ctx, http.MethodPost, "/api/v1/findings", findings.Append(nil, i))
			switch {
			case err != nil:
				result = "went down"
				return true
			case r.Status == http.StatusAccepted:
				accepted[findingID(r.Body)], taken = i, true
			case r.Status == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != "":
				result = "refused and went on"
			default:
				t.Errorf("finding %d got %d: %s", i, r.Status, r.Body)
			}
			return taken || t.Failed()
		})
		if err != nil {
			t.Errorf("finding %d was refused to the end", i)
		}
		if !taken {
			return result
		}
	}
	return result
}

// endpointConfig configures one endpoint that gets every new alert.
func endpointConfig(t *testing.T, in *inbox, path string) (string, error) {
	t.Helper()
	const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	if err := in.Expect(path, secret); err != nil {
		return "", err
	}
	file := t.TempDir() + "/tocsin.yaml"
	text := fmt.Sprintf("endpoints:\n  - name: all\n    kind: webhook\n    url: %s\n    secret: %s\n    events: [alert.created]\n", in.URL(path), secret)
	return file, os.WriteFile(file, []byte(text), 0o600)
}
