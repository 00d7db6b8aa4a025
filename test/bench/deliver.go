package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// What deliveries have to keep to: research of other systems' figures found none
// that publishes as much.
const (
	deliverBound = 250 * time.Millisecond // p99 from the POST to the receipt
	answerBound  = 50 * time.Millisecond  // p99 of the answer to the POST
	// paceLimit is the limit of a limited endpoint, a second.
	paceLimit = 100
)

// measureDeliver measures an open load to one endpoint, then to ten that get every
// event, and how exactly a limited endpoint is served.
func measureDeliver(ctx context.Context, b *bench) error {
	for _, c := range []struct {
		endpoints int
		rate      float64
	}{{1, 1000}, {10, 250}} {
		if err := b.deliverTo(ctx, c.endpoints, c.rate); err != nil {
			return fmt.Errorf("%d endpoints: %w", c.endpoints, err)
		}
	}
	return b.pace(ctx)
}

// An audience is endpoints that each get every event, and when they got them.
type audience struct {
	findings rig.Findings
	answers  *stopwatch
	clocks   []*stopwatch // by endpoint
	receiver *rig.Receiver
}

func newAudience(run string, endpoints, findings int) (*audience, error) {
	a := &audience{findings: rig.Findings{Run: run, Pad: 600}, answers: newStopwatch(findings)}
	for range endpoints {
		a.clocks = append(a.clocks, newStopwatch(findings))
	}
	var err error
	a.receiver, err = rig.NewReceiver(func(h rig.Hook) rig.Answer {
		if k, err := strconv.Atoi(strings.TrimPrefix(h.Path, "/hook")); err == nil && k < len(a.clocks) {
			a.clocks[k].stop(a.findings.Index(h.Body), h.At)
		}
		return rig.Answer{Status: 204}
	})
	return a, err
}

// subscribe makes the endpoints.
func (a *audience) subscribe(ctx context.Context, h *rig.Hub, more map[string]any) error {
	for k := range a.clocks {
		body := map[string]any{"events": []string{"alert.created"}}
		for name, v := range more {
			body[name] = v
		}
		if _, err := h.Webhook(ctx, a.receiver, fmt.Sprintf("/hook%d", k), body); err != nil {
			return err
		}
	}
	return nil
}

// load is one post for each finding, at a rate.
func (a *audience) load(h *rig.Hub, from, to int, rate float64) *rig.Load {
	return &rig.Load{
		URL: h.URL("/api/v1/findings"), Key: rig.Key, Callers: 256, Rate: rate, Posts: to - from,
		Body: func(buf []byte, i int) ([]byte, bool) { return a.findings.Append(buf, from+i), true },
		Started: func(i int, at time.Time) {
			a.answers.start(from+i, at)
			for _, c := range a.clocks {
				c.start(from+i, at)
			}
		},
		Done: func(i, _ int, _ []byte) { a.answers.stop(from+i, time.Now()) },
	}
}

// settle waits until every endpoint has got n.
func (a *audience) settle(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for k, c := range a.clocks {
		if err := rig.Poll(ctx, 20*time.Millisecond, func() bool { return int(c.stopped.Load()) >= n }); err != nil {
			return fmt.Errorf("endpoint %d got %d of %d events (%w)", k, c.stopped.Load(), n, err)
		}
	}
	if n := a.receiver.Bad.Load(); n > 0 {
		return fmt.Errorf("%d webhooks had no right signature: %s", n, a.receiver.Reason())
	}
	return nil
}

func (b *bench) deliverTo(ctx context.Context, endpoints int, rate float64) error {
	n := int(rate * b.lasts(time.Minute, 5*time.Second).Seconds())
	a, err := newAudience(fmt.Sprintf("deliver%d", endpoints), endpoints, n)
	if err != nil {
		return err
	}
	defer a.receiver.Close() //nolint:errcheck // nothing comes any more
	h, err := b.hub(ctx, a.findings.Run)
	if err != nil {
		return err
	}
	defer h.Kill() //nolint:errcheck // its data is thrown away
	if err := a.subscribe(ctx, h, nil); err != nil {
		return err
	}
	before, err := rig.UsageOf(h.PID())
	if err != nil {
		return err
	}
	start := time.Now()
	sent := a.load(h, 0, n, rate).Run(ctx)
	if err := worked(sent); err != nil {
		return err
	}
	if err := a.settle(ctx, n); err != nil {
		return err
	}
	took := time.Since(start)
	after, err := rig.UsageOf(h.PID())
	if err != nil {
		return err
	}
	answers := row{Part: "deliver", Name: fmt.Sprintf("%d endpoints at %.0f/s: POST to its answer", endpoints, rate), PerSecond: sent.PerSecond(), Unit: "findings"}
	answers.times(a.answers.times(0, n))
	r := row{Part: "deliver", Name: fmt.Sprintf("%d endpoints at %.0f/s: POST to receipt", endpoints, rate), PerSecond: float64(n*endpoints) / took.Seconds(), Unit: "deliveries"}
	var all []time.Duration
	for _, c := range a.clocks {
		all = append(all, c.times(0, n)...)
	}
	r.times(all)
	r.usage(before, after, n)
	r.Note = verdict(r.P99 <= ms(deliverBound) && answers.P99 <= ms(answerBound),
		fmt.Sprintf("p99 of answers within %v, of receipts within %v", answerBound, deliverBound))
	b.add(answers)
	b.add(r)
	return nil
}

func verdict(holds bool, what string) string {
	if holds {
		return "holds: " + what
	}
	return "does not hold: " + what
}

// pace counts what a limited endpoint gets in a minute, and in the fullest second.
func (b *bench) pace(ctx context.Context) error {
	lasts := b.lasts(time.Minute, 5*time.Second)
	n := int(paceLimit*lasts.Seconds()) * 11 / 10
	var mu sync.Mutex
	var came []time.Time
	receiver, err := rig.NewReceiver(func(h rig.Hook) rig.Answer {
		mu.Lock()
		defer mu.Unlock()
		came = append(came, h.At)
		return rig.Answer{Status: 204}
	})
	if err != nil {
		return err
	}
	defer receiver.Close() //nolint:errcheck // nothing comes any more
	h, err := b.hub(ctx, "pace")
	if err != nil {
		return err
	}
	defer h.Kill() //nolint:errcheck // its data is thrown away
	if _, err := h.Webhook(ctx, receiver, "/hook0", map[string]any{"events": []string{"alert.created"}, "rate_limit": paceLimit}); err != nil {
		return err
	}
	f := rig.Findings{Run: "pace"}
	for from := 0; from < n; from += 500 {
		if err := h.Post(ctx, "/findings/batch", f.AppendBatch(nil, from, min(from+500, n)), nil); err != nil {
			return err
		}
	}
	all := func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(came)
	}
	wait, cancel := context.WithTimeout(ctx, 2*lasts+10*time.Second)
	defer cancel()
	if err := rig.Poll(wait, 50*time.Millisecond, func() bool { t := all(); return len(t) > 0 && time.Since(t[0]) > lasts }); err != nil {
		return err
	}
	times := all()
	slices.SortFunc(times, time.Time.Compare)
	within, fullest := 0, 0
	for i, at := range times {
		if at.Sub(times[0]) < lasts {
			within++
		}
		k := i
		for k < len(times) && times[k].Sub(at) < time.Second {
			k++
		}
		fullest = max(fullest, k-i)
	}
	want := paceLimit * lasts.Seconds()
	b.add(row{
		Part: "deliver", Name: fmt.Sprintf("an endpoint limited to %d a second", paceLimit), PerSecond: float64(within) / lasts.Seconds(), Unit: "deliveries",
		Note: verdict(float64(within) >= 0.99*want && float64(within) <= 1.01*want && fullest <= paceLimit+1,
			fmt.Sprintf("%d in %v, wanted %.0f ± 1 %%; %d in the fullest second, at most %d", within, lasts, want, fullest, paceLimit+1)),
	})
	return nil
}
