package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
)

// A balancer hands each request to the next node that says it is ready, and to
// another if nobody listens there. It never sends a request twice.
type balancer struct {
	nodes  []*rig.Hub
	ready  []atomic.Bool
	next   atomic.Int64
	client *http.Client
}

func newBalancer(t *testing.T, nodes []*rig.Hub) *balancer {
	b := &balancer{nodes: nodes, ready: make([]atomic.Bool, len(nodes)), client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range nodes {
		all.Go(func() { b.follow(ctx, i) })
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return b
}

// follow asks a node over and over whether it is ready.
func (b *balancer) follow(ctx context.Context, i int) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.nodes[i].URL("/ready"), nil)
		if err != nil {
			return
		}
		res, err := client.Do(req)
		b.ready[i].Store(err == nil && res.StatusCode == http.StatusOK)
		if err == nil {
			_ = res.Body.Close()
		}
		_ = rest(ctx, 50*time.Millisecond)
	}
}

// do makes a request of whoever is ready.
func (b *balancer) do(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	err := errors.New("no node is ready")
	for range 2 * len(b.nodes) {
		i := int(b.next.Add(1)) % len(b.nodes)
		if !b.ready[i].Load() {
			continue
		}
		var status int
		var answer []byte
		if status, answer, err = b.ask(ctx, b.nodes[i], method, path, body); !errors.Is(err, syscall.ECONNREFUSED) {
			return status, answer, err
		}
	}
	return 0, nil, err
}

func (b *balancer) ask(ctx context.Context, h *rig.Hub, method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.URL("/api/v1"+path), bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+rig.Key)
	req.Header.Set("Content-Type", "application/json")
	res, err := b.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// All nodes are replaced by another version, one after the other, and nobody who
// goes through a load balancer notices.
func TestRollingUpgrade(t *testing.T) {
	distributedOnly(t)
	newer := buildVersion(t, "next")
	tm := newTeam(t, 3, services.SharedKafka(t).Brokers(), "TOCSIN_SERVER_DRAIN_TIME=500ms")
	tm.start(t)
	findings := rig.Findings{Run: "roll"}
	in := newInbox(t, findings, false)
	e, err := tm.nodes[0].Webhook(t.Context(), in.Receiver, "/roll", map[string]any{"events": []string{"alert.created"}})
	if err != nil {
		t.Fatal(err)
	}
	b := newBalancer(t, tm.nodes)
	eventually(t, "all nodes are ready", timeLong, func() bool { return b.ready[0].Load() && b.ready[1].Load() && b.ready[2].Load() })
	visitors := visit(t, b, findings, e.ID)
	for i, h := range tm.nodes {
		stop(t, h)
		h.Binary = newer
		up(t, h)
		eventually(t, "the balancer finds the new node", timeLong, b.ready[i].Load)
		eventually(t, "the new node is asked", timeLong, visitors.moved())
	}
	accepted := visitors.end(t)
	for _, h := range tm.nodes {
		if got := versionOf(t, h); got != "next" {
			t.Errorf("a node has the version %q, want next", got)
		}
	}
	in.wait(t, "/roll", fmt.Sprintf("all %d findings", accepted), func(b *box) bool { return len(b.indexes) >= accepted })
	in.look("/roll", func(b *box) {
		if b.repeats > 0 || len(b.changed) > 0 {
			t.Errorf("%d webhooks came twice, %d of them with other bytes, though nobody was killed", b.repeats, len(b.changed))
		}
	})
	tm.verified(t)
}

// buildVersion builds the program under another version.
func buildVersion(t *testing.T, version string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "tocsin")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version="+version, "-o", out, "github.com/tocsin/tocsin/cmd/tocsin")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, text)
	}
	return out
}

func versionOf(t *testing.T, h *rig.Hub) string {
	t.Helper()
	r, err := h.Call(t.Context(), http.MethodGet, "/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	return field(r.Body, `"version":"`)
}

// visitors make requests all the time and note those that fail.
type visitors struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex // guards what follows
	made     int
	accepted int
	failed   []string
}

func visit(t *testing.T, b *balancer, findings rig.Findings, endpoint string) *visitors {
	v := &visitors{}
	ctx, cancel := context.WithCancel(context.Background())
	v.stop = cancel
	t.Cleanup(cancel)
	var next atomic.Int64
	make := func(method, path string, body []byte, want int) {
		status, answer, err := b.do(context.WithoutCancel(ctx), method, path, body) // what is begun is ended
		v.note(method+" "+path, want, status, answer, err)
	}
	for n := range 6 {
		v.done.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				finding := func() []byte { return findings.Append(nil, int(next.Add(1))) }
				switch (n + i) % 6 {
				case 0:
					make(http.MethodGet, "/alerts?limit=5", nil, http.StatusOK)
				case 1:
					make(http.MethodPatch, "/webhooks/"+endpoint, fmt.Appendf(nil, `{"description":"changed %d.%d"}`, n, i), http.StatusOK)
				case 2:
					make(http.MethodPost, "/findings?wait=true", finding(), http.StatusOK)
				default:
					make(http.MethodPost, "/findings", finding(), http.StatusAccepted)
				}
				_ = rest(ctx, 20*time.Millisecond)
			}
		})
	}
	return v
}

func (v *visitors) note(what string, want, status int, answer []byte, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.made++
	switch {
	case err != nil:
		v.failed = append(v.failed, fmt.Sprintf("%s: %v", what, err))
	case status == http.StatusConflict: // somebody else changed the endpoint at the same time
	case status != want:
		v.failed = append(v.failed, fmt.Sprintf("%s: %d %s", what, status, answer))
	case bytes.Contains(answer, []byte(`"id":"fnd_`)) && what != "GET /alerts?limit=5":
		v.accepted++
	}
}

// moved tells whether a good many requests were made since it was asked for.
func (v *visitors) moved() func() bool {
	made := func() int {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.made
	}
	before := made()
	return func() bool { return made() >= before+60 }
}

// end stops the visitors and gives how many findings were accepted.
func (v *visitors) end(t *testing.T) int {
	t.Helper()
	v.stop()
	v.done.Wait()
	t.Logf("%d requests while every node was replaced, %d of them findings", v.made, v.accepted)
	for i, text := range v.failed {
		if i == 5 {
			break
		}
		t.Errorf("failed: %.300s", text)
	}
	if n := len(v.failed); n > 0 {
		t.Errorf("%d requests failed", n)
	}
	return v.accepted
}
