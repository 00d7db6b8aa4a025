package app

import (
	"log/slog"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// What is due when there is no room for it is given as soon as there is some, also
// a moment after the store was asked: else a limited endpoint is served by the
// second.
func TestWhatThereWasNoRoomForIsGivenLater(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	f := newFar(t, nil)
	e := r.webhook(f.URL, `,"rate_limit":1`)
	r.findings("a", handoff/handoffShare+100) // those over the handoff wait in the store
	f.eventually(t, "they wait", func() bool { return r.states(e.ID)[hub.DeliveryPending] >= 50 })
	q := newQueue(r.st, r.rules, "another", time.Minute, slog.New(slog.DiscardHandler))
	for _, room := range []int{0, 5, 0, 0, 7} {
		jobs, err := q.Claim(t.Context(), 256, time.Minute, map[hub.EndpointID]int{e.ID: room})
		if len(jobs) != room || err != nil {
			t.Errorf("with room for %d a claim gives %d, %v", room, len(jobs), err)
		}
	}
}
