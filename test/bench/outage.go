package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// measureOutage lets an endpoint be down while a hundred thousand events come for
// it, drains them when it is back, and replays all of them beside live traffic to
// another.
func measureOutage(ctx context.Context, b *bench) error {
	o := &outage{bench: b, n: 100_000, got: map[string]int{}}
	if b.quick {
		o.n = 5000
	}
	o.down.Store(true)
	receiver, err := rig.NewReceiver(o.take)
	if err != nil {
		return err
	}
	defer receiver.Close() //nolint:errcheck // nothing comes any more
	o.receiver = receiver
	if o.hub, err = b.hub(ctx, "outage"); err != nil {
		return err
	}
	defer o.hub.Kill() //nolint:errcheck // its data is thrown away
	if o.endpoint, err = o.hub.Webhook(ctx, receiver, "/down", map[string]any{"events": []string{"alert.created"}, "filter": `alert.source == "rig"`}); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{o.pile, o.drain, o.replay} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// An outage is one run.
type outage struct {
	*bench
	hub      *rig.Hub
	receiver *rig.Receiver
	endpoint rig.Endpoint
	n        int
	down     atomic.Bool
	refused  atomic.Int64
	live     atomic.Pointer[audience]

	mu    sync.Mutex // guards what follows
	got   map[string]int
	again int // of got, more than once
}

func (o *outage) take(h rig.Hook) rig.Answer {
	if h.Path != "/down" {
		if a := o.live.Load(); a != nil {
			a.clocks[0].stop(a.findings.Index(h.Body), h.At)
		}
		return rig.Answer{Status: http.StatusNoContent}
	}
	if o.down.Load() {
		o.refused.Add(1)
		return rig.Answer{Status: http.StatusServiceUnavailable}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	id := string(h.ID)
	if o.got[id]++; o.got[id] > 1 {
		o.again++
	}
	return rig.Answer{Status: http.StatusNoContent}
}

func (o *outage) received() (once, again int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got), o.again
}

func (o *outage) state(ctx context.Context, state string) int {
	var d struct {
		Deliveries map[string]map[string]int `json:"deliveries"`
	}
	if err := o.hub.Get(ctx, "/dashboard/metrics", &d); err != nil {
		return -1
	}
	return d.Deliveries["webhook"][state]
}

// pile makes the events while nobody takes them.
func (o *outage) pile(ctx context.Context) error {
	f := rig.Findings{Run: "outage"}
	start := time.Now()
	for from := 0; from < o.n; from += 500 {
		if err := o.hub.Post(ctx, "/findings/batch", f.AppendBatch(nil, from, min(from+500, o.n)), nil); err != nil {
			return err
		}
	}
	wait, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := rig.Poll(wait, 200*time.Millisecond, func() bool { return o.state(ctx, "held") >= o.n-1 }); err != nil { // one may be a probe
		return fmt.Errorf("%d of %d events are held (%w)", o.state(ctx, "held"), o.n, err)
	}
	took := time.Since(start)
	o.add(row{
		Part: "outage", Name: "events for an endpoint that is down, until all are held", PerSecond: float64(o.n) / took.Seconds(), Unit: "events",
		Note: fmt.Sprintf("%d held, %d requests were made to the endpoint in %v", o.n, o.refused.Load(), took.Round(time.Second)),
	})
	return nil
}

// drain takes what was held.
func (o *outage) drain(ctx context.Context) error {
	o.down.Store(false)
	wait, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var first time.Time
	err := rig.Poll(wait, 20*time.Millisecond, func() bool {
		once, _ := o.received()
		if once > 0 && first.IsZero() {
			first = time.Now()
		}
		return once >= o.n
	})
	once, again := o.received()
	if err != nil || once != o.n {
		return fmt.Errorf("after the outage %d of %d events came (%w)", once, o.n, err)
	}
	o.add(row{
		Part: "outage", Name: "the same when it is back", PerSecond: float64(o.n) / time.Since(first).Seconds(), Unit: "events",
		Note: verdict(again == 0, fmt.Sprintf("each once; %d came again", again)),
	})
	return nil
}

// replay sends all of it once more, and measures what is live before and
// meanwhile.
func (o *outage) replay(ctx context.Context) error {
	if _, err := o.hub.Webhook(ctx, o.receiver, "/live", map[string]any{"events": []string{"alert.created"}, "filter": `alert.asset_id.contains("live")`}); err != nil {
		return err
	}
	before, err := o.liveLoad(ctx, "livea")
	if err != nil {
		return err
	}
	path := "/webhooks/" + o.endpoint.ID + "/replay"
	var dry struct {
		Count int `json:"count"`
	}
	all := map[string]any{"since": "2020-01-01T00:00:00Z", "until": time.Now().UTC().Format(time.RFC3339Nano), "dry_run": true}
	if err := o.hub.Post(ctx, path, all, &dry); err != nil {
		return err
	}
	all["dry_run"] = false
	_, repeats := o.received()
	start := time.Now()
	if err := o.hub.Post(ctx, path, all, nil); err != nil {
		return err
	}
	during, err := o.liveLoad(ctx, "liveb")
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	err = rig.Poll(wait, 50*time.Millisecond, func() bool { _, again := o.received(); return again-repeats >= dry.Count })
	_, again := o.received()
	if err != nil {
		return fmt.Errorf("of a replay of %d events %d came (%w)", dry.Count, again-repeats, err)
	}
	o.add(row{
		Part: "outage", Name: "replay of all, beside live traffic", PerSecond: float64(dry.Count) / time.Since(start).Seconds(), Unit: "events",
		Note: verdict(again-repeats == dry.Count, fmt.Sprintf("the dry run counted %d, %d came", dry.Count, again-repeats)),
	})
	before.Name, during.Name = "live at 200/s to another endpoint", "the same beside the replay"
	during.Note = verdict(during.P99 <= 2*before.P99, fmt.Sprintf("p99 is %.2f times that without a replay, wanted at most 2", during.P99/before.P99))
	o.add(before)
	o.add(during)
	return nil
}

func (o *outage) liveLoad(ctx context.Context, run string) (row, error) {
	const rate = 200
	n := int(rate * o.lasts(15*time.Second, 3*time.Second).Seconds())
	a := &audience{findings: rig.Findings{Run: run}, answers: newStopwatch(n), clocks: []*stopwatch{newStopwatch(n)}, receiver: o.receiver}
	o.live.Store(a)
	sent := a.load(o.hub, 0, n, rate).Run(ctx)
	if err := worked(sent); err != nil {
		return row{}, err
	}
	if err := a.settle(ctx, n); err != nil {
		return row{}, err
	}
	r := row{Part: "outage", PerSecond: sent.PerSecond(), Unit: "findings"}
	r.times(a.clocks[0].times(0, n))
	return r, nil
}
