package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
)

const (
	fifoKeys  = 1000 // alerts, each changed fifoRounds times
	fifoSlice = 100  // alerts changed by one request
	// fifoRate is how many changes are sent a second.
	fifoRate = 1500
	// stuck is the alert whose events the receiver refuses for ever, where one is.
	stuck = 17
)

// measureFIFO sends changes of many alerts to an endpoint that wants those of each
// in order: all healthy, with one alert whose events are never taken, and with a
// fifth of all attempts failing while the hub is killed three times.
func measureFIFO(ctx context.Context, b *bench) error {
	healthy, err := b.fifo(ctx, &queueing{name: "all healthy"})
	if err != nil {
		return err
	}
	blocked, err := b.fifo(ctx, &queueing{name: "one key never taken", stuck: true})
	if err != nil {
		return err
	}
	blocked.Note = verdict(blocked.P99 <= isolationBound*healthy.P99, fmt.Sprintf("p99 of the others is %.2f times that of all healthy", blocked.P99/healthy.P99))
	unkind, err := b.fifo(ctx, &queueing{name: "a fifth of attempts fail, 3 kills", stuck: true, failing: 0.2, kills: 3})
	if err != nil {
		return err
	}
	for _, r := range []row{healthy, blocked, unkind} {
		b.add(r)
	}
	return nil
}

// A queueing is one run.
type queueing struct {
	name    string
	stuck   bool
	failing float64 // part of the attempts that fail
	kills   int

	rounds  int
	mu      sync.Mutex // guards what follows
	sent    []time.Time
	last    [fifoKeys]int64 // sequence of what was taken last
	counted [fifoKeys]int   // findings that it told of
	took    []time.Duration
	events  int
	wrong   []string
}

// take is the receiver.
func (q *queueing) take(h rig.Hook) rig.Answer {
	var e struct {
		Sequence int64 `json:"sequence"`
		Data     struct {
			Alert struct {
				AssetID string `json:"asset_id"`
				Count   int    `json:"count"`
			} `json:"alert"`
		} `json:"data"`
	}
	if err := json.Unmarshal(h.Body, &e); err != nil {
		return rig.Answer{Status: http.StatusBadRequest}
	}
	key, err := strconv.Atoi(e.Data.Alert.AssetID)
	if err != nil || key < 0 || key >= fifoKeys {
		return rig.Answer{Status: http.StatusBadRequest}
	}
	if q.stuck && key == stuck || rand.Float64() < q.failing {
		return rig.Answer{Status: http.StatusServiceUnavailable}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch before := q.last[key]; {
	case e.Sequence < before:
		q.wrong = append(q.wrong, fmt.Sprintf("key %d: %d came after %d", key, e.Sequence, before))
	case e.Sequence > before: // else it is a repeat
		q.last[key], q.counted[key] = e.Sequence, e.Data.Alert.Count
		q.events++
		if n := e.Data.Alert.Count - 1; n >= 0 && n < q.rounds {
			q.took = append(q.took, h.At.Sub(q.sent[n*fifoKeys/fifoSlice+key/fifoSlice]))
		}
	}
	return rig.Answer{Status: http.StatusNoContent}
}

// complete reports whether every alert that can be told has been, to its end.
func (q *queueing) complete() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, n := range q.counted {
		if n < q.rounds && !(q.stuck && key == stuck) {
			return false
		}
	}
	return true
}

// body makes a request: a round's changes of some alerts.
func (q *queueing) body(i int) []byte {
	round, from := i*fifoSlice/fifoKeys, i*fifoSlice%fifoKeys
	severity := []string{"high", "critical"}[round%2]
	at := time.Unix(1_780_000_000+int64(round), 0).UTC().Format(time.RFC3339)
	b := []byte{'['}
	for key := from; key < from+fifoSlice; key++ {
		if key > from {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"type":"network","asset_id":"%d","severity":%q,"source":"fifo","source_id":"%d","observed_at":%q}`, key, severity, key, at)
	}
	return append(b, ']')
}

func (b *bench) fifo(ctx context.Context, q *queueing) (row, error) {
	q.rounds = 100
	if b.quick {
		q.rounds = 10
	}
	posts := q.rounds * fifoKeys / fifoSlice
	q.sent = make([]time.Time, posts)
	receiver, err := rig.NewReceiver(q.take)
	if err != nil {
		return row{}, err
	}
	defer receiver.Close() //nolint:errcheck // nothing comes any more
	h, err := b.hub(ctx, "fifo-"+strconv.Itoa(len(q.name)))
	if err != nil {
		return row{}, err
	}
	defer h.Kill() //nolint:errcheck // its data is thrown away
	_, err = h.Webhook(ctx, receiver, "/hook", map[string]any{
		"events": []string{"alert.*"}, "ordering": "key",
		"retry": map[string]any{"initial": "100ms", "factor": 1.5, "max": "2s", "attempts": 100},
	})
	if err != nil {
		return row{}, err
	}
	start := time.Now()
	if err := q.send(ctx, h, posts, start); err != nil {
		return row{}, err
	}
	wait, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := rig.Poll(wait, 50*time.Millisecond, q.complete); err != nil {
		return row{}, fmt.Errorf("%s: not everything came (%w)", q.name, err)
	}
	took := time.Since(start)
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.wrong) > 0 {
		return row{}, fmt.Errorf("%s: %d events were out of order, such as %s", q.name, len(q.wrong), q.wrong[0])
	}
	r := row{Part: "fifo", Name: fmt.Sprintf("ordered by key, %d keys, %s: POST to receipt", fifoKeys, q.name), PerSecond: float64(q.events) / took.Seconds(), Unit: "events"}
	r.times(q.took)
	r.Note = fmt.Sprintf("%d events, each key's in order", q.events)
	return r, nil
}

// send posts the changes at the rate, again where the hub was killed, and kills
// it.
func (q *queueing) send(ctx context.Context, h *rig.Hub, posts int, start time.Time) error {
	kills := map[int]bool{}
	for len(kills) < q.kills {
		kills[posts/5+rand.IntN(posts/2)] = true
	}
	for i := range posts {
		due := start.Add(time.Duration(i) * time.Second * fifoSlice / fifoRate)
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return ctx.Err()
		}
		q.mu.Lock()
		q.sent[i] = time.Now()
		q.mu.Unlock()
		if kills[i] {
			if err := h.Kill(); err != nil {
				return err
			}
			if err := up(ctx, h); err != nil {
				return err
			}
		}
		res, err := h.Call(ctx, http.MethodPost, "/api/v1/findings/batch", q.body(i), "Idempotency-Key", fmt.Sprintf("fifo-%d", i))
		if err != nil || res.Status != http.StatusAccepted {
			return fmt.Errorf("request %d: %v, %+v", i, err, res)
		}
	}
	return nil
}
