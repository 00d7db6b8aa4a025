package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// pollEvery is how often the hub is asked whether it is done.
const pollEvery = 100 * time.Millisecond

// settle waits until nothing is on its way any more. What is still missing after
// settleLimit is left to the judge to name.
func (d *demo) settle(ctx context.Context) error {
	limit := time.Now().Add(settleLimit)
	for _, step := range []struct {
		what string
		done func(context.Context) (bool, error)
	}{
		{"the problem that three systems see", d.acknowledged},
		{"the source systems to be in step", d.inStep},
		{"the pulls to pause", d.paused},
		{"triage and deliveries", d.delivered},
		{"the documents in Elasticsearch", d.indexed},
	} {
		if err := d.await(ctx, limit, step.what, step.done); err != nil {
			return err
		}
	}
	return d.progress(ctx)
}

func (d *demo) await(ctx context.Context, limit time.Time, what string, done func(context.Context) (bool, error)) error {
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		if time.Now().After(limit) {
			d.feed.faults = append(d.feed.faults, fmt.Sprintf("gave up waiting for %s after %v", what, settleLimit))
			return nil
		}
		if err := until(ctx, time.Now().Add(pollEvery)); err != nil {
			return err
		}
		if err := d.progress(ctx); err != nil {
			return err
		}
	}
}

// acknowledged asks whether the one problem has been acknowledged.
func (d *demo) acknowledged(ctx context.Context) (bool, error) {
	if d.feed.cloud.acked || d.feed.cloud.waves < len(sharedBy) {
		return true, nil
	}
	if err := d.feed.cloud.acknowledge(ctx, d.hub.client); err != nil || d.feed.cloud.acked {
		return err == nil, err
	}
	return false, d.sync(ctx)
}

// inStep asks whether the hub has seen each of the source systems' alerts as it is
// now, and they have heard what they have to hear.
func (d *demo) inStep(ctx context.Context) (bool, error) {
	j := &judge{far: d.far, feed: d.feed}
	sources := strings.Join(sourceNames[:], ",")
	findings, err := all[finding](ctx, d.hub.client, "/findings", map[string][]string{"source": {sources}})
	if err != nil {
		return false, err
	}
	alerts, err := all[alert](ctx, d.hub.client, "/alerts", map[string][]string{"source": {sources}})
	if err != nil {
		return false, err
	}
	j.findings, j.alerts = map[string]finding{}, map[string]alert{}
	for _, f := range findings {
		j.findings[f.ID] = f
	}
	for _, a := range alerts {
		j.alerts[a.ID] = a
	}
	j.vault()
	if j.clouds(); len(j.faults) == 0 {
		return true, nil
	}
	return false, d.sync(ctx)
}

// sync asks for pulls, now and then.
func (d *demo) sync(ctx context.Context) error {
	if time.Since(d.synced) < time.Second {
		return nil
	}
	d.synced = time.Now() // a pull that was under way when the last change came has not seen it
	return d.hub.client.connectors(ctx, "sync")
}

// paused ends the pulls, so that nothing new comes.
func (d *demo) paused(ctx context.Context) (bool, error) {
	if err := d.hub.client.connectors(ctx, "pause"); err != nil {
		return false, err
	}
	list, err := all[connector](ctx, d.hub.client, "/connectors", nil)
	running := func(c connector) bool { return c.State != "paused" }
	return len(list) == len(sourceNames) && !slices.ContainsFunc(list, running), err
}

func (d *demo) delivered(ctx context.Context) (bool, error) {
	m, err := d.hub.client.dashboard(ctx)
	return m.Backlog == 0 && m.open() == 0, err
}

func (d *demo) indexed(ctx context.Context) (bool, error) {
	n, err := d.hub.client.events(ctx)
	return len(d.far.siem.Documents(alertStream)) >= n, err
}
