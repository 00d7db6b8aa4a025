package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

const asks = `name: asks
on: [alert.created]
steps:
  - {id: ask, uses: approval, with: {message: "May I?", timeout: 1h}}
  - {id: mark, uses: alert.set, with: {labels: {approved: "yes"}}}
`

// Runs wait for people over kills of the program, and what follows an answer
// happens once, also if the program was killed before it could say so.
func TestApprovalsOutliveKills(t *testing.T) {
	const runs, kills = 150, 5
	rnd := random(t)
	book := filepath.Join(t.TempDir(), "asks.yaml")
	if err := os.WriteFile(book, []byte(asks), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHub(t)
	h.Env = append(h.Env, "TOCSIN_PLAYBOOKS_PATHS="+book)
	up(t, h)
	findings := rig.Findings{Run: "asks"}
	for i := range runs {
		if err := h.Post(t.Context(), "/findings?wait=true", findings.Append(nil, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	kill(t, h)
	up(t, h)
	ids := waiting(t, h)
	if len(ids) != runs {
		t.Fatalf("after a kill %d runs wait, want %d", len(ids), runs)
	}
	done := make(chan error, 1)
	go func() { done <- approve(t, h, ids) }()
	for range kills {
		pause(t, time.Duration(rnd.Int64N(int64(100*time.Millisecond))))
		kill(t, h)
		up(t, h)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if left := waiting(t, h); len(left) != 0 {
		t.Errorf("%d still wait", len(left))
	}
	checkMarked(t, h, runs)
	stop(t, h)
	verified(t, h)
}

// waiting gives the approvals that nobody has answered.
func waiting(t *testing.T, h *rig.Hub) (ids []string) {
	t.Helper()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := h.Get(t.Context(), "/approvals?state=waiting&limit=200", &list); err != nil {
		t.Fatal(err)
	}
	for _, a := range list.Data {
		ids = append(ids, a.ID)
	}
	return ids
}

// approve approves each until it is told that it is approved: the first answer may
// be lost in a kill.
func approve(t *testing.T, h *rig.Hub, ids []string) error {
	for _, id := range ids {
		for {
			if t.Context().Err() != nil {
				return t.Context().Err()
			}
			res, err := h.Call(t.Context(), http.MethodPost, "/api/v1/approvals/"+id, map[string]string{"decision": "approve"})
			if err != nil {
				pauseBriefly()
				continue // it is dead or starting
			}
			if res.Status == 200 || res.Status == 409 && strings.Contains(string(res.Body), "approved already by key_") {
				break
			}
			if res.Status < 500 {
				return fmt.Errorf("the answer to %s: %d %s", id, res.Status, res.Body)
			}
		}
	}
	return nil
}

func pauseBriefly() { <-time.After(5 * time.Millisecond) }

// checkMarked wants that the step after the question was taken once for each alert.
func checkMarked(t *testing.T, h *rig.Hub, runs int) {
	t.Helper()
	var list struct {
		Data []struct {
			Alert string `json:"alert_id"`
			State string `json:"state"`
		} `json:"data"`
	}
	if err := h.Get(t.Context(), "/playbook-runs?limit=200", &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Data) != runs {
		t.Errorf("%d runs, want %d", len(list.Data), runs)
	}
	for _, r := range list.Data {
		var a struct {
			Labels   map[string]string `json:"labels"`
			Timeline []struct {
				Actor string `json:"actor"`
			} `json:"timeline"`
		}
		if err := h.Get(t.Context(), "/alerts/"+r.Alert, &a); err != nil {
			t.Fatal(err)
		}
		var actors []string
		for _, c := range a.Timeline {
			actors = append(actors, c.Actor)
		}
		n := len(slices.DeleteFunc(actors, func(s string) bool { return s != "playbook:asks" }))
		if r.State != "done" || a.Labels["approved"] != "yes" || n != 1 {
			t.Errorf("the run about %s is %s, with %v, marked %d times", r.Alert, r.State, a.Labels, n)
		}
	}
}
