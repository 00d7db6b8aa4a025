package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

const (
	// endpoints is how many there are, and holes how many of them never answer in
	// the second run. Each finding is for one of them.
	endpoints = 50
	holes     = 25
	// isolationRate is how many findings are sent a second.
	isolationRate = 1000
	// isolationBound is by how much later healthy endpoints may get theirs.
	isolationBound = 1.5
)

// measureIsolation compares how long webhooks to healthy endpoints take when all
// endpoints are healthy with how long they take when half of them never answer.
func measureIsolation(ctx context.Context, b *bench) error {
	var p99 [2]float64
	for i, name := range []string{"all healthy", "half never answer"} {
		r, err := b.isolated(ctx, fmt.Sprintf("isolation%d", i), i*holes)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.Name = fmt.Sprintf("%d endpoints, %s, at %d/s: POST to receipt, healthy", endpoints, name, isolationRate)
		if p99[i] = r.P99; i == 1 {
			r.Note = fmt.Sprintf("p99 is %.2f times that of all healthy", p99[1]/p99[0])
		}
		b.add(r)
	}
	if p99[1] > isolationBound*p99[0] && !b.quick {
		return fmt.Errorf("the p99 of healthy endpoints grew from %.1f ms to %.1f ms, which is more than %.1f times", p99[0], p99[1], isolationBound)
	}
	return nil
}

// isolated measures the first endpoints while the last silent of them never
// answer. The same ones are measured whatever silent is.
func (b *bench) isolated(ctx context.Context, name string, silent int) (row, error) {
	f := &flow{findings: rig.Findings{Run: name}}
	receiver, err := rig.NewReceiver(func(h rig.Hook) rig.Answer {
		if !f.clock.stop(f.findings.Index(h.Body), h.At) {
			f.strange.Add(1)
		}
		return rig.Answer{Status: 204}
	})
	if err != nil {
		return row{}, err
	}
	defer receiver.Close() //nolint:errcheck // nothing comes any more
	hole, err := newHole()
	if err != nil {
		return row{}, err
	}
	defer hole.close()
	h, err := b.hub(ctx, name)
	if err != nil {
		return row{}, err
	}
	defer h.Kill() //nolint:errcheck // its data is thrown away
	for i := range endpoints {
		if err := b.isolatedEndpoint(ctx, h, receiver, hole, i, i >= endpoints-silent); err != nil {
			return row{}, err
		}
	}
	return b.isolationLoad(ctx, h, f)
}

// isolatedEndpoint makes an endpoint for the findings whose number has the rest i.
func (b *bench) isolatedEndpoint(ctx context.Context, h *rig.Hub, r *rig.Receiver, hole *hole, i int, silent bool) error {
	body := map[string]any{
		"events": []string{"alert.created"},
		"filter": fmt.Sprintf(`alert.asset_id.endsWith("%02d") || alert.asset_id.endsWith("%02d")`, i, i+endpoints),
	}
	if silent {
		body["url"] = "http://" + hole.listener.Addr().String() + "/hook"
		return h.Post(ctx, "/webhooks", body, nil)
	}
	_, err := h.Webhook(ctx, r, fmt.Sprintf("/hook%d", i), body)
	return err
}

// first is the number of the first finding: those below 100 have too few digits
// for the filters.
const first = 100

func (b *bench) isolationLoad(ctx context.Context, h *rig.Hub, f *flow) (row, error) {
	n := int(isolationRate * b.lasts(time.Minute, 10*time.Second).Seconds())
	f.clock = newStopwatch(first + n)
	before, err := rig.UsageOf(h.PID())
	if err != nil {
		return row{}, err
	}
	load := &rig.Load{
		URL: h.URL("/api/v1/findings"), Key: rig.Key, Callers: 256, Rate: isolationRate, Posts: n,
		Body:    func(buf []byte, i int) ([]byte, bool) { return f.findings.Append(buf, first+i), true },
		Started: func(i int, at time.Time) { f.clock.start(first+i, at) },
	}
	sent := load.Run(ctx)
	if err := worked(sent); err != nil {
		return row{}, err
	}
	measured := func() []time.Duration { // of the endpoints that are healthy in both runs
		var all []time.Duration
		for i := first; i < first+n; i++ {
			if i%endpoints < endpoints-holes {
				all = append(all, f.clock.times(i, i+1)...)
			}
		}
		return all
	}
	want := n / endpoints * (endpoints - holes)
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := rig.Poll(wait, 50*time.Millisecond, func() bool { return len(measured()) >= want }); err != nil {
		return row{}, fmt.Errorf("of %d webhooks to healthy endpoints %d came (%w)", want, len(measured()), err)
	}
	after, err := rig.UsageOf(h.PID())
	if err != nil {
		return row{}, err
	}
	r := row{Part: "isolation", PerSecond: sent.PerSecond(), Unit: "findings"}
	r.times(measured())
	r.usage(before, after, n)
	return r, nil
}

// A hole takes connections and requests, and never answers.
type hole struct {
	listener net.Listener
	served   sync.WaitGroup
	mu       sync.Mutex // guards open
	open     map[net.Conn]bool
}

func newHole() (*hole, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hole{listener: l, open: map[net.Conn]bool{}}
	h.served.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				h.serve(c)
			}
		}
	})
	return h, nil
}

func (h *hole) serve(c net.Conn) {
	h.mu.Lock()
	h.open[c] = true
	h.mu.Unlock()
	h.served.Go(func() {
		_, _ = io.Copy(io.Discard, c) // until the hub gives up
		c.Close()
		h.mu.Lock()
		delete(h.open, c)
		h.mu.Unlock()
	})
}

func (h *hole) close() {
	h.listener.Close()
	h.mu.Lock()
	for c := range h.open {
		c.Close()
	}
	h.mu.Unlock()
	h.served.Wait()
}
