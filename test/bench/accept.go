package main

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// hub starts a hub on a data folder of its own.
func (b *bench) hub(ctx context.Context, name string) (*rig.Hub, error) {
	h, err := rig.NewHub(b.binary, b.dir+"/"+name)
	if err != nil {
		return nil, err
	}
	h.Env = []string{"TOCSIN_LOG_LEVEL=warn"}
	return h, up(ctx, h)
}

func up(ctx context.Context, h *rig.Hub) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	took, err := h.Up(ctx)
	progress("hub started in %v", took.Round(time.Millisecond))
	return err
}

// measureSingle counts what is accepted of findings sent one by one.
func measureSingle(ctx context.Context, b *bench) error {
	findings := rig.Findings{Run: "single"}
	return b.accepting(ctx, "single", "accepted, 64 callers with one each", 1, b.limits.grouped, &rig.Load{
		Callers: 64, Body: func(buf []byte, i int) ([]byte, bool) { return findings.Append(buf, i), true },
	}, "/api/v1/findings")
}

// measureBatch counts what is accepted of findings sent by the hundred.
func measureBatch(ctx context.Context, b *bench) error {
	const size = 100
	findings := rig.Findings{Run: "batch"}
	return b.accepting(ctx, "batch", "accepted, 8 callers with batches of 100", size, b.limits.bulk, &rig.Load{
		Callers: 8, Body: func(buf []byte, i int) ([]byte, bool) { return findings.AppendBatch(buf, i*size, (i+1)*size), true },
	}, "/api/v1/findings/batch")
}

// accepting measures a load on a new hub; disk is how many records a second the
// disk takes in groups of that size.
func (b *bench) accepting(ctx context.Context, part, name string, size int, disk float64, l *rig.Load, path string) error {
	h, err := b.hub(ctx, part)
	if err != nil {
		return err
	}
	defer h.Kill() //nolint:errcheck // a killed hub loses nothing that is needed
	l.URL, l.Key = h.URL(path), rig.Key
	before, err := rig.UsageOf(h.PID())
	if err != nil {
		return err
	}
	sent, times := b.closed(ctx, l, b.lasts(10*time.Second, 3*time.Second))
	after, err := rig.UsageOf(h.PID())
	if err != nil {
		return err
	}
	triaged, err := h.Metric(ctx, "tocsin_findings_triaged_total")
	if err != nil {
		return err
	}
	progress("%s: %d findings accepted, %.0f of them triaged by then", part, sent.Good*size, triaged)
	r := row{Part: part, Name: name, PerSecond: sent.PerSecond() * float64(size), Unit: "findings"}
	r.times(times)
	r.usage(before, after, sent.Good*size)
	r.limit(disk, "grouped fsync")
	r.limit(b.limits.posts*float64(size), "loopback HTTP")
	b.add(r)
	return worked(sent)
}
