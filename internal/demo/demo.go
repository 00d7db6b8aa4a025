// Package demo runs the main job on real input with nothing else installed: the
// hub, simulated source systems, and simulated Slack, PagerDuty, Elasticsearch
// and webhook receivers, all on loopback ports of one process.
//
// The hub is the real one, made from a configuration file ([Config]) and spoken
// to over its public API. The simulators are those of test/sim: they are written
// from the far sides' documents, make trouble on purpose, verify signatures with
// code of their own and remember what broke their rules. So what [Run] checks at
// the end is told by the receivers, the API and the audit log, and compared with
// what was fed.
//
// Everything that is written lies in a temporary folder, which is removed.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Options say how long the demo runs and what it shows.
type Options struct {
	// For is how long input keeps coming; 0 until ctx ends.
	For time.Duration
	// Once feeds a fixed amount instead and ends by itself.
	Once   bool
	Listen string // the hub's address; "" for a free port on loopback
	// JSON prints one object at the end and nothing else on Out.
	JSON     bool
	Out, Err io.Writer
	Version  string
}

const (
	// onceLives is how many problems a run with Once tells of: a few hundred
	// findings.
	onceLives = 80
	// waveSize is how many findings are posted between two pulls.
	waveSize = 40
	// waveEvery is the pace without Once.
	waveEvery = time.Second
	// settleLimit is how long everything may take to arrive after the last input.
	settleLimit = 60 * time.Second
	stopLimit   = 15 * time.Second
	seed        = 20250614
)

// errInterrupted says that ctx ended before anything could be judged.
var errInterrupted = errors.New("interrupted before everything was delivered")

// Run runs the demo. It returns an error if anything that was accepted was lost,
// delivered unsigned or left out of the audit log.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "tocsin-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo's data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	far, err := openFarSides()
	if err != nil {
		return err
	}
	defer far.close()
	h, err := openHub(ctx, dir, far, o)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return o.interrupted()
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	d := &demo{opts: o, far: far, hub: h, show: newShow(o), start: time.Now()}
	return d.run(ctx)
}

// interrupted is what an end by Ctrl-C is: no failure, unless the caller asked for
// a verdict.
func (o Options) interrupted() error {
	if o.Once || o.For > 0 {
		return errInterrupted
	}
	return nil
}

// A demo is one run.
type demo struct {
	opts   Options
	far    *farSides
	hub    *runningHub
	show   *show
	feed   *feed
	start  time.Time
	synced time.Time // when a pull was last asked for while settling
}

func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	defer func() { <-done }()
	defer cancel(nil)
	go func() { // owned by run, which waits for it
		defer close(done)
		select {
		case err := <-d.hub.app.Failed():
			cancel(fmt.Errorf("the hub failed: %w", err))
		case <-ctx.Done():
		}
	}()
	d.show.welcome(d.hub)
	d.feed = newFeed(d.hub.client, d.far)
	if err := d.feedAll(ctx); err != nil {
		return d.ended(ctx, err)
	}
	if err := d.settle(ctx); err != nil {
		return d.ended(ctx, err)
	}
	return d.judge(ctx)
}

// ended tells an end by Ctrl-C from a failure.
func (d *demo) ended(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return err
	case !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded):
		return cause
	}
	if err := d.opts.interrupted(); err != nil {
		return err
	}
	d.show.goodbye(d.feed)
	return nil
}

// feedAll feeds wave after wave: all there is with Once, else until the time is
// up.
func (d *demo) feedAll(ctx context.Context) error {
	lives, end := 0, time.Time{}
	if d.opts.Once {
		lives = onceLives
	} else if d.opts.For > 0 {
		end = time.Now().Add(d.opts.For)
	}
	script := newScript(lives)
	for n := 0; ; n++ {
		sends := script.next(waveSize)
		if len(sends) == 0 {
			return nil
		}
		next := time.Now().Add(waveEvery)
		if err := d.feed.wave(ctx, n, sends); err != nil {
			return err
		}
		if err := d.progress(ctx); err != nil {
			return err
		}
		if d.opts.Once {
			continue
		}
		if !end.IsZero() && next.After(end) {
			script.finish()
			end = time.Time{}
			continue
		}
		if err := until(ctx, next); err != nil {
			return err
		}
	}
}

// until waits for a time, or for the end of ctx.
func until(ctx context.Context, at time.Time) error {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *demo) progress(ctx context.Context) error {
	m, err := d.hub.client.dashboard(ctx)
	if err == nil {
		d.show.progress(d.feed, m, time.Since(d.start))
	}
	return err
}
