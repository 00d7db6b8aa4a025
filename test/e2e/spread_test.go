package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
	"github.com/tocsin/tocsin/test/sim/cybervault"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// spreadWithin is in what time a change at one node holds at all (contract).
const spreadWithin = time.Second

// What is changed at one node holds at all of them within a second.
func TestChangesHoldEverywhere(t *testing.T) {
	distributedOnly(t)
	tm := newTeam(t, 3, services.SharedKafka(t).Brokers())
	asked := tm.pullFromCyberVault(t)
	tm.start(t)
	t.Run("a key that is revoked", func(t *testing.T) { tm.revokeKey(t) })
	t.Run("an endpoint that is made, switched off and deleted", func(t *testing.T) { tm.changeEndpoint(t) })
	t.Run("a connector that is paused", func(t *testing.T) { tm.pauseConnector(t, asked) })
	tm.verified(t)
}

// spreads makes a change and measures until it holds at every node. A machine that
// is busy with other things gets three chances.
func (tm *team) spreads(t *testing.T, what string, change func(try int), holds func(ctx context.Context, h *rig.Hub) bool) {
	t.Helper()
	for try := range 3 {
		change(try)
		begun := time.Now()
		for i, h := range tm.nodes {
			eventually(t, fmt.Sprintf("%s at node %d", what, i), timeLong, func() bool { return holds(t.Context(), h) })
		}
		took := time.Since(begun)
		if t.Logf("%s: everywhere after %v", what, took.Round(time.Millisecond)); took <= spreadWithin {
			return
		}
	}
	t.Errorf("%s: not everywhere within %v, three times", what, spreadWithin)
}

func (tm *team) revokeKey(t *testing.T) {
	var key struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}
	answers := func(ctx context.Context, h *rig.Hub) int {
		r, err := h.Call(ctx, http.MethodGet, "/api/v1/alerts?limit=1", nil, "Authorization", "Bearer "+key.Key)
		if err != nil {
			t.Fatal(err)
		}
		return r.Status
	}
	revoke := func(try int) {
		if err := tm.nodes[0].Post(t.Context(), "/api-keys", map[string]any{"name": fmt.Sprint("spread ", try), "role": "viewer"}, &key); err != nil {
			t.Fatal(err)
		}
		for i, h := range tm.nodes { // all know it, and remember it
			if got := answers(t.Context(), h); got != http.StatusOK {
				t.Errorf("a new key is answered %d at node %d", got, i)
			}
		}
		r, err := tm.nodes[1].Call(t.Context(), http.MethodDelete, "/api/v1/api-keys/"+key.ID, nil)
		if err != nil || r.Status/100 != 2 {
			t.Fatalf("revoke a key: %v, %+v", err, r)
		}
	}
	tm.spreads(t, "a key is revoked", revoke, func(ctx context.Context, h *rig.Hub) bool {
		return answers(ctx, h) == http.StatusUnauthorized
	})
}

// changeEndpoint changes an endpoint at one node after the other. Findings that
// come a second later, triaged by whichever node, go by the change: another
// endpoint, which gets all of them, says when they are through.
func (tm *team) changeEndpoint(t *testing.T) {
	findings := rig.Findings{Run: "spread"}
	in := newInbox(t, findings, false)
	subscribe := func(path string) rig.Endpoint {
		e, err := tm.nodes[0].Webhook(t.Context(), in.Receiver, path, map[string]any{"events": []string{"alert.created"}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	subscribe("/all")
	sent := 0
	send := func() {
		t.Helper()
		pause(t, spreadWithin)
		const some = 60
		for i := range some { // of all partitions, and so triaged by all nodes
			h := tm.nodes[i%len(tm.nodes)]
			if r := post(t, h, findings.Append(nil, sent+i)); r.Status != http.StatusAccepted {
				t.Fatalf("a finding is answered %d: %s", r.Status, r.Body)
			}
		}
		sent += some
		in.wait(t, "/all", fmt.Sprintf("all %d findings", sent), func(b *box) bool { return len(b.indexes) == sent })
	}
	got := func(want int, when string) {
		t.Helper()
		in.wait(t, "/one", fmt.Sprintf("%d findings %s", want, when), func(b *box) bool { return len(b.indexes) >= want })
		in.look("/one", func(b *box) {
			if len(b.indexes) != want {
				t.Errorf("%s the endpoint has %d findings, want %d", when, len(b.indexes), want)
			}
		})
	}
	send()
	e := subscribe("/one")
	send()
	got(60, "after it was made")
	patch := func(h *rig.Hub, enabled bool) {
		if err := h.Patch(t.Context(), "/webhooks/"+e.ID, map[string]any{"enabled": enabled}, nil); err != nil {
			t.Fatal(err)
		}
	}
	patch(tm.nodes[1], false)
	send()
	got(60, "while it is switched off")
	patch(tm.nodes[2], true)
	got(120, "when it is switched on again")
	if r, err := tm.nodes[2].Call(t.Context(), http.MethodDelete, "/api/v1/webhooks/"+e.ID, nil); err != nil || r.Status/100 != 2 {
		t.Fatalf("delete an endpoint: %v, %+v", err, r)
	}
	send()
	got(120, "after it was deleted")
}

// pullFromCyberVault has the nodes pull from a simulated source, and gives how
// often that was asked.
func (tm *team) pullFromCyberVault(t *testing.T) *atomic.Int64 {
	t.Helper()
	asked := new(atomic.Int64)
	sim := cybervault.New(cybervault.Options{Options: unkind.Options{Kind: true}, Tier: "enterprise"})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(tm.dir, "hub.yaml")
	text := fmt.Sprintf("connectors:\n  - {name: vault, kind: cybervault, base_url: %q, token: %s, interval: 5s}\n", server.URL+"/v2", cybervault.DefaultToken)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, h := range tm.nodes {
		h.Config = file
	}
	return asked
}

func (tm *team) pauseConnector(t *testing.T, asked *atomic.Int64) {
	do := func(h *rig.Hub, action string) {
		t.Helper()
		if err := h.Post(t.Context(), "/connectors/vault/"+action, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	pulls := func() {
		t.Helper()
		before := asked.Load()
		eventually(t, "the source is asked", timeLong, func() bool { return asked.Load() > before })
	}
	shows := func(want bool) func(ctx context.Context, h *rig.Hub) bool {
		return func(ctx context.Context, h *rig.Hub) bool {
			var list struct {
				Data []struct {
					State string `json:"state"`
				} `json:"data"`
			}
			if err := h.Get(ctx, "/connectors", &list); err != nil || len(list.Data) != 1 {
				t.Fatalf("list the connectors: %v, %+v", err, list)
			}
			return (list.Data[0].State == "paused") == want
		}
	}
	pulls()
	for i, h := range tm.nodes { // whichever of them pulls
		tm.spreads(t, fmt.Sprintf("a connector is paused at node %d", i), func(try int) {
			if try > 0 {
				do(h, "resume")
			}
			do(h, "pause")
		}, shows(true))
		tm.spreads(t, "and resumed at another", func(try int) {
			if try > 0 {
				do(h, "pause")
			}
			do(tm.nodes[(i+1)%len(tm.nodes)], "resume")
		}, shows(false))
	}
	do(tm.nodes[0], "pause")
	pause(t, spreadWithin)
	before := asked.Load()
	pause(t, 6*time.Second) // longer than its interval
	if n := asked.Load() - before; n > 0 {
		t.Errorf("a source whose connector is paused is asked %d times", n)
	}
	do(tm.nodes[1], "resume")
	pulls()
}
