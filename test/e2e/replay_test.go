package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/report"
)

// A replay of everything goes on after the program was killed in the middle of it:
// each event comes once more, but for the few that were under way.
func TestReplaySurvivesAKill(t *testing.T) {
	embeddedOnly(t)
	rep := report.Of(t, 9)
	n := report.Size(1500, 12_000)
	findings := rig.Findings{Run: "replay"}
	h, in := running(t), newInbox(t, findings, false)
	e, err := h.Webhook(t.Context(), in.Receiver, "/again", map[string]any{"events": []string{"alert.created"}})
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += 500 {
		r, err := h.Call(t.Context(), http.MethodPost, "/api/v1/findings/batch", findings.AppendBatch(nil, from, from+500))
		if err != nil || r.Status != http.StatusAccepted {
			t.Fatalf("a batch is answered %+v, %v", r, err)
		}
	}
	in.wait(t, "/again", fmt.Sprintf("all %d", n), func(b *box) bool { return len(b.taken) == n })
	eventually(t, "all recorded", timeLong, func() bool { return idle(t, h, e.ID) })
	all := map[string]any{"since": "2020-01-01T00:00:00Z", "until": time.Now().UTC().Add(time.Second).Format(time.RFC3339Nano), "dry_run": true}
	var p struct {
		ID    string `json:"id"`
		Count int    `json:"count"`
		State string `json:"state"`
		Done  int    `json:"done"`
		Total int    `json:"total"`
	}
	if err := h.Post(t.Context(), "/webhooks/"+e.ID+"/replay", all, &p); err != nil || p.Count != n {
		t.Fatalf("a dry run counts %d of %d, %v", p.Count, n, err)
	}
	all["dry_run"] = false
	if err := h.Post(t.Context(), "/webhooks/"+e.ID+"/replay", all, &p); err != nil {
		t.Fatal(err)
	}
	in.wait(t, "/again", "a part again", func(b *box) bool { return b.repeats > n/10 })
	kill(t, h)
	before := 0
	in.look("/again", func(b *box) { before = b.repeats })
	up(t, h)
	eventually(t, "the replay is over", timeLong, func() bool {
		if err := h.Get(t.Context(), "/replays/"+p.ID, &p); err != nil {
			t.Fatal(err)
		}
		return p.State == "done" && idle(t, h, e.ID)
	})
	in.look("/again", func(b *box) {
		times := map[string]int{}
		for _, l := range b.letters {
			times[l.id]++
		}
		short := 0
		for _, k := range times {
			if k < 2 {
				short++
			}
		}
		if more := b.repeats - n; len(times) != n || short > 0 || more < 0 || more > inFlight || before >= n {
			t.Errorf("%d events came, %d of them not again; %d again before the kill, in all %d, want %d and at most %d more", len(times), short, before, b.repeats, n, inFlight)
		}
		rep.Figure("events", n)
		rep.Figure("again_before_the_kill", before)
		rep.Figure("more_than_once_again", b.repeats-n)
	})
	if p.Total != n || p.Done != n {
		t.Errorf("the replay ended as %+v, want %d of %d", p, n, n)
	}
	stop(t, h)
	verified(t, h)
}

// idle reports whether nothing is left to send to an endpoint.
func idle(t *testing.T, h *rig.Hub, endpoint string) bool {
	t.Helper()
	var list struct {
		Data []delivery `json:"data"`
	}
	if err := h.Get(t.Context(), "/webhooks/"+endpoint+"/deliveries?state=pending,delivering,retrying,held&limit=1", &list); err != nil {
		t.Fatal(err)
	}
	return len(list.Data) == 0
}
