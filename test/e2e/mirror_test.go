package e2e

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/sim/echelongraph"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// What was acknowledged here is told to the source system whatever is killed in
// between, and its echo changes nothing.
func TestAcknowledgementsReachTheSourceWhenKilled(t *testing.T) {
	const alerts = 40
	kills, rnd := number(t, "TOCSIN_E2E_KILLS", 4, 2), random(t)
	sim := echelongraph.New(echelongraph.Options{Plan: "enterprise", Options: unkind.Options{Kind: true}})
	far := httptest.NewServer(sim)
	t.Cleanup(far.Close)
	for range alerts {
		sim.AddItem("alerts", echelongraph.Item{})
	}
	h := newHub(t)
	h.Config = filepath.Join(t.TempDir(), "hub.yaml")
	text := fmt.Sprintf("relay: {schedule: [100ms, 200ms, 500ms, 1s, 1s, 1s, 1s, 1s], probe_after: 100ms, probe_max: 500ms}\nconnectors: [{name: graph, kind: echelongraph, base_url: '%s/v1', email: %s, password: %s, events: false, interval: 5s}]\n",
		far.URL, echelongraph.DefaultEmail, echelongraph.DefaultPassword)
	if err := os.WriteFile(h.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	up(t, h)
	ids := alertIDs(t, h, alerts)
	sim.Set(unkind.Knobs{Fail: 0.3, Cut: 0.2})
	for i := range kills {
		part := ids[i*alerts/kills : (i+1)*alerts/kills]
		if err := h.Post(t.Context(), "/alerts/bulk", map[string]any{"action": "acknowledge", "ids": part}, nil); err != nil {
			t.Fatal(err)
		}
		pause(t, time.Duration(rnd.Int64N(int64(200*time.Millisecond))))
		kill(t, h)
		up(t, h)
	}
	sim.Set(unkind.Knobs{})
	eventually(t, "EchelonGraph knows of every acknowledgement", time.Minute, func() bool {
		for _, x := range sim.Items("alerts") {
			if x.Status != "acknowledged" {
				return false
			}
		}
		return true
	})
	quiet(t, h, "connector") // what a kill left in doubt is told again
	before := requests(sim)
	pulled(t, h)
	pulled(t, h)
	for _, id := range ids {
		var a struct {
			Status   string `json:"status"`
			Timeline []struct {
				Action string `json:"action"`
			} `json:"timeline"`
		}
		if err := h.Get(t.Context(), "/alerts/"+id, &a); err != nil {
			t.Fatal(err)
		}
		acknowledged := 0
		for _, c := range a.Timeline {
			if c.Action == "acknowledged" {
				acknowledged++
			}
		}
		if a.Status != "investigating" || acknowledged != 1 {
			t.Errorf("alert %s is %s, acknowledged %d times: %+v", id, a.Status, acknowledged, a.Timeline)
		}
	}
	if after := requests(sim); after != before {
		t.Errorf("EchelonGraph was told %d more times after its own echo", after-before)
	}
	stop(t, h)
	verified(t, h)
}

// alertIDs waits until there are so many alerts.
func alertIDs(t *testing.T, h *rig.Hub, n int) (ids []string) {
	t.Helper()
	eventually(t, "every alert has been pulled", time.Minute, func() bool {
		var list struct {
			Data []struct {
				ID string `json:"id"`
			} `json:"data"`
		}
		if err := h.Get(t.Context(), "/alerts?limit=200&source=graph", &list); err != nil {
			t.Fatal(err)
		}
		ids = nil
		for _, a := range list.Data {
			ids = append(ids, a.ID)
		}
		return len(ids) == n
	})
	return ids
}

// requests counts those that changed something.
func requests(sim *echelongraph.Sim) (n int) {
	for _, x := range sim.History() {
		if strings.HasPrefix(x.Request, "PATCH ") {
			n++
		}
	}
	return n
}

// pulled waits for the end of another pull.
func pulled(t *testing.T, h *rig.Hub) {
	t.Helper()
	pulls := func() int64 {
		var list struct {
			Data []struct {
				State  string           `json:"state"`
				Counts map[string]int64 `json:"counts"`
			} `json:"data"`
		}
		if err := h.Get(t.Context(), "/connectors", &list); err != nil || len(list.Data) != 1 {
			t.Fatal(err)
		}
		return list.Data[0].Counts["pulls"]
	}
	before := pulls()
	if err := h.Post(t.Context(), "/connectors/graph/sync", nil, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another pull", time.Minute, func() bool { return pulls() > before })
}
