package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// measureEnd measures the whole way of a finding: accepted, triaged against the
// known problems, through a playbook, audited, signed, delivered, and the
// outcome recorded. Then the part latency runs on the same hub.
func measureEnd(ctx context.Context, b *bench) error {
	dir, err := b.seeded(ctx)
	if err != nil {
		return err
	}
	e := &end{bench: b}
	receiver, err := rig.NewReceiver(e.take)
	if err != nil {
		return err
	}
	defer receiver.Close() //nolint:errcheck // nothing comes any more
	if e.hub, err = rig.NewHub(b.binary, dir); err != nil {
		return err
	}
	e.receiver, e.hub.Env = receiver, []string{"TOCSIN_LOG_LEVEL=warn"}
	if e.hub.Config, err = e.config(); err != nil {
		return err
	}
	if err := up(ctx, e.hub); err != nil {
		return err
	}
	defer e.hub.Kill() //nolint:errcheck // its data is thrown away
	if len(b.only) == 0 || slices.Contains(b.only, "end") {
		err = e.sustained(ctx)
	}
	if err == nil && (len(b.only) == 0 || slices.Contains(b.only, "latency")) {
		err = e.latency(ctx)
	}
	return err
}

// An end is a hub with a playbook and an endpoint, and the receiver.
type end struct {
	*bench
	hub      *rig.Hub
	receiver *rig.Receiver
	flow     atomic.Pointer[flow] // the measurement under way
	sent     int                  // findings, over all measurements
}

// A flow is one measurement: what was sent and has not arrived is under way.
type flow struct {
	findings rig.Findings
	clock    *stopwatch
	credit   chan struct{} // one for each that may be under way; nil is no bound
	strange  atomic.Int64  // webhooks about nothing we sent, or sent again
}

// take is the receiver: it takes the time of the finding that the webhook is
// about.
func (e *end) take(h rig.Hook) rig.Answer {
	f := e.flow.Load()
	if f == nil || !f.clock.stop(f.findings.Index(h.Body), h.At) {
		if f != nil {
			f.strange.Add(1)
		}
		return rig.Answer{Status: 204}
	}
	if f.credit != nil {
		<-f.credit
	}
	return rig.Answer{Status: 204}
}

// The playbook is the shape of configs/playbooks/prod-injection.yaml without
// the people: it marks the alert and hands it to a webhook.
const playbook = `name: bench
description: Marks injection attempts against production and hands them over.
on: [alert.created]
when: >
  alert.type in ["sql_injection", "xss"] && alert.severity_num >= severity_num("medium") &&
  alert.labels[?"env"].orValue("") == "prod"
steps:
  - id: mark
    uses: alert.set
    with:
      labels: {attack: "${{ alert.type }}", environment: prod}
  - id: hand_over
    uses: webhook.send
    with: {webhook: bench}
    timeout: 10s
`

// config writes the hub's configuration and gives its path.
func (e *end) config() (string, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	secret := "whsec_" + base64.StdEncoding.EncodeToString(key[:])
	if err := e.receiver.Expect("/hook", secret); err != nil {
		return "", err
	}
	dir := filepath.Join(e.dir, "config")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	text := fmt.Sprintf("playbooks:\n  paths: [bench.yaml]\nendpoints:\n  - name: bench\n    kind: webhook\n    url: %s\n    secret: %s\n    events: []\n",
		e.receiver.URL("/hook"), secret)
	file := filepath.Join(dir, "tocsin.yaml")
	return file, errors.Join(os.WriteFile(filepath.Join(dir, "bench.yaml"), []byte(playbook), 0o600), os.WriteFile(file, []byte(text), 0o600))
}

// underWay is how many findings may be under way in the sustained measurement.
// With that bound accepting cannot run ahead, so what comes out a second is
// what the whole way sustains.
const underWay = 2000

// sustained finds the most that the whole way takes.
func (e *end) sustained(ctx context.Context) error {
	lasts, warm := e.lasts(40*time.Second, 8*time.Second), e.lasts(5*time.Second, 2*time.Second)
	f := &flow{findings: rig.Findings{Run: e.run("end")}, clock: newStopwatch(2_000_000), credit: make(chan struct{}, underWay)}
	e.flow.Store(f)
	begin := time.Now()
	load := &rig.Load{
		URL: e.hub.URL("/api/v1/findings"), Key: rig.Key, Callers: 64, Started: f.clock.start,
		Body: func(b []byte, i int) ([]byte, bool) {
			if time.Since(begin) > lasts || i >= len(f.clock.taken) {
				return b, false
			}
			select {
			case f.credit <- struct{}{}:
				return f.findings.Append(b, i), true
			case <-time.After(30 * time.Second):
				return b, false // the hub has stopped delivering: what came says so
			}
		},
	}
	measured := e.between(ctx, f, begin.Add(warm), begin.Add(lasts))
	sent := load.Run(ctx)
	m := <-measured
	if err := errors.Join(m.err, worked(sent)); err != nil {
		return err
	}
	if err := e.settle(ctx, f, sent.Good); err != nil {
		return err
	}
	r := row{Part: "end", Name: fmt.Sprintf("end to end sustained, %d known problems", e.seeds), PerSecond: m.perSecond(), Unit: "findings", Lag: underWay}
	r.times(f.clock.times(m.fromN, sent.Posts))
	r.usage(m.before, m.after, m.toN-m.fromN)
	r.limit(e.limits.grouped, "grouped fsync")
	r.limit(e.limits.posts/2, "loopback HTTP, in and out")
	e.add(r)
	return e.outcomes(ctx)
}

// run names a run so that no finding is known from an earlier one.
func (e *end) run(part string) string { return fmt.Sprintf("%s%d", part, time.Now().Unix()) }

// A span is what came in between two moments.
type span struct {
	from, to      time.Time
	fromN, toN    int
	before, after rig.Usage
	err           error
}

func (s span) perSecond() float64 { return float64(s.toN-s.fromN) / s.to.Sub(s.from).Seconds() }

// between counts what arrives between two moments and what the hub uses for it.
func (e *end) between(ctx context.Context, f *flow, from, to time.Time) <-chan span {
	out := make(chan span, 1)
	go func() {
		var s span
		s.from, s.fromN, s.before, s.err = e.moment(ctx, f, from)
		if s.err == nil {
			s.to, s.toN, s.after, s.err = e.moment(ctx, f, to)
		}
		out <- s
	}()
	return out
}

func (e *end) moment(ctx context.Context, f *flow, at time.Time) (time.Time, int, rig.Usage, error) {
	select {
	case <-time.After(time.Until(at)):
	case <-ctx.Done():
		return at, 0, rig.Usage{}, ctx.Err()
	}
	now, n := time.Now(), int(f.clock.stopped.Load())
	u, err := rig.UsageOf(e.hub.PID())
	return now, n, u, err
}

// settle waits until everything sent has arrived, once each.
func (e *end) settle(ctx context.Context, f *flow, sent int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := rig.Poll(ctx, 20*time.Millisecond, func() bool { return int(f.clock.stopped.Load()) >= sent })
	if n := int(f.clock.stopped.Load()); err != nil || n != sent {
		return fmt.Errorf("of %d findings %d arrived (%w)", sent, n, err)
	}
	if n := e.receiver.Bad.Load(); n > 0 {
		return fmt.Errorf("%d webhooks had no right signature: %s", n, e.receiver.Reason())
	}
	if n := f.strange.Load(); n > 0 {
		progress("%d webhooks came again or were about nothing that was sent", n)
	}
	e.sent += sent
	return nil
}

// outcomes checks that the outcome of every delivery was recorded.
func (e *end) outcomes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var got map[string]map[string]int
	err := rig.Poll(ctx, 250*time.Millisecond, func() bool {
		var d struct {
			Deliveries map[string]map[string]int `json:"deliveries"`
		}
		if err := e.hub.Get(ctx, "/dashboard/metrics", &d); err != nil {
			progress("%v", err)
			return false
		}
		got = d.Deliveries
		return got["webhook"]["succeeded"] == e.sent
	})
	if err != nil {
		return fmt.Errorf("%d deliveries were made, but the hub has recorded %v", e.sent, got)
	}
	return nil
}

// latency sends at a fixed rate, no matter what comes back, and takes the time
// from when a POST was due to when its webhook arrived.
func (e *end) latency(ctx context.Context) error {
	lasts := e.lasts(time.Minute, 10*time.Second)
	n := int(e.rate * lasts.Seconds())
	f := &flow{findings: rig.Findings{Run: e.run("latency")}, clock: newStopwatch(n)}
	answers := newStopwatch(n)
	e.flow.Store(f)
	before, err := rig.UsageOf(e.hub.PID())
	if err != nil {
		return err
	}
	load := &rig.Load{
		URL: e.hub.URL("/api/v1/findings"), Key: rig.Key, Callers: 256, Rate: e.rate,
		Posts: n, Body: func(b []byte, i int) ([]byte, bool) { return f.findings.Append(b, i), true },
		Started: func(i int, at time.Time) {
			f.clock.start(i, at)
			answers.start(i, at)
		},
		Done: func(i, _ int, _ []byte) { answers.stop(i, time.Now()) },
	}
	sent := load.Run(ctx)
	if err := worked(sent); err != nil {
		return err
	}
	if err := e.settle(ctx, f, sent.Good); err != nil {
		return err
	}
	after, err := rig.UsageOf(e.hub.PID())
	if err != nil {
		return err
	}
	accept := row{Part: "latency", Name: fmt.Sprintf("at %.0f/s: POST to its answer", e.rate), PerSecond: sent.PerSecond(), Unit: "findings"}
	accept.times(answers.times(0, n))
	e.add(accept)
	r := row{Part: "latency", Name: fmt.Sprintf("at %.0f/s: POST to receipt of the webhook", e.rate), PerSecond: sent.PerSecond(), Unit: "findings"}
	r.times(f.clock.times(0, n))
	r.usage(before, after, n)
	e.add(r)
	return e.outcomes(ctx)
}
