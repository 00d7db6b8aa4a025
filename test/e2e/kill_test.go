package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// Whatever was answered with 2xx is in an alert and reaches every endpoint, no
// matter how often and when the program is killed.
func TestNothingIsLostWhenKilled(t *testing.T) {
	const rate, endpoints = 500, 3
	kills, rnd := number(t, "TOCSIN_E2E_KILLS", usualKills(), 3), random(t)
	findings := rig.Findings{Run: "kill"}
	in := newInbox(t, findings, false)
	h := newHub(t)
	starts := []time.Duration{up(t, h)}
	for e := range endpoints {
		// Created is once an alert, so each finding is one webhook an endpoint.
		if _, err := h.Webhook(t.Context(), in.Receiver, hook(e), map[string]any{"events": []string{"alert.created"}}); err != nil {
			t.Fatal(err)
		}
	}
	s := newSender(findings)
	loaded := make(chan rig.Sent, 1)
	go func() {
		loaded <- (&rig.Load{URL: h.URL("/api/v1/findings"), Key: rig.Key, Rate: rate, Body: s.body, Done: s.done, Timeout: 5 * time.Second}).Run(t.Context())
	}()
	for range kills {
		starts = append(starts, killOnce(t, h, rnd)...)
	}
	s.finish()
	sent := <-loaded
	accepted := s.check(t)
	t.Logf("%d posts, %d findings, %d kills; slowest start of %d: %v", sent.Posts, accepted, kills, len(starts), slices.Max(starts).Round(time.Millisecond))
	if slow := slices.Max(starts); slow > 5*time.Second {
		t.Errorf("a start took %v, want at most 5 s: %v", slow, starts)
	}
	for e := range endpoints {
		checkBox(t, in, hook(e), accepted, kills)
	}
	checkAlerts(t, h, s, accepted)
	stop(t, h)
	verified(t, h)
}

// usualKills are many where a start is quick; where several nodes are under test,
// other tests kill them too.
func usualKills() int {
	if distributed() {
		return 5
	}
	return 20
}

func hook(n int) string { return fmt.Sprintf("/hook/%d", n) }

// killOnce lets the hub live for a random while, kills it and starts it again;
// one time in four it is killed again while it starts. It gives how long the
// starts took that got to an end.
func killOnce(t *testing.T, h *rig.Hub, rnd *rand.Rand) []time.Duration {
	t.Helper()
	pause(t, time.Duration(rnd.Int64N(int64(2*time.Second))))
	kill(t, h)
	for rnd.IntN(4) == 0 {
		if err := h.Start(); err != nil {
			t.Fatal(err)
		}
		pause(t, time.Duration(rnd.Int64N(int64(250*time.Millisecond))))
		kill(t, h)
	}
	return []time.Duration{up(t, h)}
}

func kill(t *testing.T, h *rig.Hub) {
	t.Helper()
	if err := h.Kill(); err != nil {
		t.Fatal(err)
	}
}

// pause is the random moment of a kill; nothing is waited for.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// A sender sends every finding until it is answered with 2xx: the first answer
// may be lost in a kill, and then the same comes twice.
type sender struct {
	findings rig.Findings

	mu       sync.Mutex // guards all below
	next     int
	again    []int
	flying   map[int]int // post → finding
	accepted map[int][]string
	refused  map[int]string // status → the first answer with it
	over     bool
}

func newSender(f rig.Findings) *sender {
	return &sender{findings: f, flying: map[int]int{}, accepted: map[int][]string{}, refused: map[int]string{}}
}

func (s *sender) body(b []byte, post int) ([]byte, bool) {
	s.mu.Lock()
	var i int
	switch {
	case len(s.again) > 0:
		i, s.again = s.again[0], s.again[1:]
	case s.over:
		s.mu.Unlock()
		return b, false
	default:
		i = s.next
		s.next++
	}
	s.flying[post] = i
	s.mu.Unlock()
	return s.findings.Append(b, i), true
}

func (s *sender) done(post, status int, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.flying[post]
	delete(s.flying, post)
	if status/100 == 2 {
		s.accepted[i] = append(s.accepted[i], findingID(body))
		return
	}
	if status != 0 && s.refused[status] == "" {
		s.refused[status] = string(body)
	}
	s.again = append(s.again, i)
}

// finish makes the load end when everything sent was accepted.
func (s *sender) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// check gives how many findings were accepted; any refusal but 503 is a fault.
func (s *sender) check(t *testing.T) int {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for status, body := range s.refused {
		if status != http.StatusServiceUnavailable {
			t.Errorf("a good finding was answered %d: %s", status, body)
		}
	}
	for _, i := range s.again {
		t.Logf("finding %d was left out: its last post came back after the others had ended", i)
	}
	return len(s.accepted)
}

func findingID(answer []byte) string {
	_, rest, _ := bytes.Cut(answer, []byte(`"id":"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(id)
}

// checkBox checks that an endpoint got everything, and repeats only of what was
// under way at a kill, with the same id and body.
func checkBox(t *testing.T, in *inbox, path string, accepted, kills int) {
	t.Helper()
	in.wait(t, path, fmt.Sprintf("all %d findings", accepted), func(b *box) bool { return len(b.indexes) >= accepted })
	in.look(path, func(b *box) {
		t.Logf("%s: %d webhooks, %d of them repeats", path, len(b.letters), b.repeats)
		if len(b.changed) > 0 {
			t.Errorf("%s: %d repeats had another body, such as %s", path, len(b.changed), b.changed[0])
		}
		for i, n := range b.indexes {
			if i < 0 || n != 1 {
				t.Errorf("%s: finding %d came under %d ids, want 1", path, i, n)
				break
			}
		}
		if most := kills * inFlight; b.repeats > most {
			t.Errorf("%s: %d repeats after %d kills, want at most %d", path, b.repeats, kills, most)
		}
	})
}

// inFlight is how many deliveries can be under way, or done and not yet
// recorded, when the program is killed.
const inFlight = 512

// checkAlerts checks that every accepted finding is in an alert, and that there
// is one alert for each, although some came twice.
func checkAlerts(t *testing.T, h *rig.Hub, s *sender, accepted int) {
	t.Helper()
	var count struct {
		Total int `json:"total"`
	}
	if err := h.Get(t.Context(), "/alerts/count", &count); err != nil {
		t.Fatal(err)
	}
	if count.Total < accepted || count.Total > s.next {
		t.Errorf("got %d alerts for %d accepted findings of %d sent", count.Total, accepted, s.next)
	}
	alerts := findingAlerts(t, h)
	lost := 0
	for i, ids := range s.accepted {
		for _, id := range ids {
			if alerts[id] == "" && alertOf(t, h, id) == "" {
				if lost++; lost < 5 {
					t.Errorf("finding %d was accepted as %s and is in no alert", i, id)
				}
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d accepted findings are in no alert", lost)
	}
}

type findingView struct {
	ID      string `json:"id"`
	AlertID string `json:"alert_id"`
	Outcome string `json:"outcome"`
	State   string `json:"state"`
}

// findingAlerts reads the whole list of findings, a part at a time.
func findingAlerts(t *testing.T, h *rig.Hub) map[string]string {
	t.Helper()
	out := map[string]string{}
	for after := ""; ; {
		var part struct {
			Data       []findingView `json:"data"`
			NextCursor string        `json:"next_cursor"`
		}
		if err := h.Get(t.Context(), "/findings?limit=200&after="+after, &part); err != nil {
			t.Fatal(err)
		}
		for _, f := range part.Data {
			out[f.ID] = f.AlertID
		}
		if after = part.NextCursor; after == "" {
			return out
		}
	}
}

// alertOf gives the alert of one finding; "" if it has none.
func alertOf(t *testing.T, h *rig.Hub, id string) string {
	t.Helper()
	var f findingView
	if err := h.Get(t.Context(), "/findings/"+id, &f); err != nil {
		t.Log(err)
	}
	return f.AlertID
}

// One Idempotency-Key makes one finding, also when the program dies among fifty
// posts of it.
func TestIdempotencyKeyAcrossKill(t *testing.T) {
	h := running(t)
	rnd := random(t)
	body := rig.Findings{Run: "once"}.Append(nil, 1)
	// Many small rounds: in each the kill comes at another moment.
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		key := fmt.Sprintf("round-%d", round)
		ids := raceWithKill(t, h, key, body, time.Duration(rnd.Int64N(int64(15*time.Millisecond))))
		up(t, h)
		for range 3 {
			r := post(t, h, body, "Idempotency-Key", key)
			if r.Status != http.StatusAccepted {
				t.Fatalf("round %d: repeated after the kill, got %d: %s", round, r.Status, r.Body)
			}
			ids[findingID(r.Body)] = true
		}
		if len(ids) != 1 {
			t.Errorf("round %d: one key made %d findings: %v", round, len(ids), ids)
		}
		other := bytes.Replace(body, []byte("login form"), []byte("search form"), 1)
		if r := post(t, h, other, "Idempotency-Key", key); r.Status != http.StatusConflict {
			t.Errorf("round %d: the key with another body got %d: %s; want 409", round, r.Status, r.Body)
		}
	}
	stop(t, h)
	verified(t, h)
}

// raceWithKill posts the same 50 times at once and kills the hub meanwhile. It
// gives the ids that were answered.
func raceWithKill(t *testing.T, h *rig.Hub, key string, body []byte, after time.Duration) map[string]bool {
	t.Helper()
	var mu sync.Mutex // guards ids
	ids := map[string]bool{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var posts sync.WaitGroup
	for range 50 {
		posts.Go(func() {
			r, err := h.Call(ctx, http.MethodPost, "/api/v1/findings", body, "Idempotency-Key", key)
			if err != nil {
				return // killed
			}
			mu.Lock()
			defer mu.Unlock()
			if r.Status == http.StatusAccepted {
				ids[findingID(r.Body)] = true
			} else {
				t.Errorf("a post of the race got %d: %s", r.Status, r.Body)
			}
		})
	}
	pause(t, after)
	kill(t, h)
	posts.Wait()
	return ids
}

func post(t *testing.T, h *rig.Hub, body []byte, header ...string) *rig.Response {
	t.Helper()
	r, err := h.Call(t.Context(), http.MethodPost, "/api/v1/findings", body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
