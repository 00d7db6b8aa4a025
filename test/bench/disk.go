package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// measureDisk appends to a file and waits for the disk, as the hub's commits do.
func measureDisk(ctx context.Context, b *bench) error {
	for _, c := range []struct {
		name            string
		record, grouped int // bytes of a record, records an fsync
		to              *float64
	}{
		{"append of 4 KiB, one an fsync", 4 << 10, 1, nil},
		{"append of 1 KiB, 64 an fsync", 1 << 10, 64, &b.limits.grouped},
		{"append of 1 KiB, 800 an fsync", 1 << 10, 800, &b.limits.bulk},
	} {
		times, err := appends(ctx, filepath.Join(b.dir, "fsync"), c.record*c.grouped, b.lasts(4*time.Second, time.Second))
		if err != nil {
			return err
		}
		var total time.Duration
		for _, d := range times {
			total += d
		}
		perSecond := float64(len(times)*c.grouped) / total.Seconds()
		if c.to != nil {
			*c.to = perSecond
		} else {
			b.limits.fsync = quantile(times, 0.5)
		}
		r := row{Part: "disk", Name: c.name, PerSecond: perSecond, Unit: "records"}
		r.times(times)
		b.add(r)
	}
	return nil
}

// appends writes size bytes and syncs, again and again for so long, and gives
// how long each took.
func appends(ctx context.Context, path string, size int, lasts time.Duration) ([]time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)
	defer f.Close()
	block := make([]byte, size)
	for i := range block {
		block[i] = byte(i * 7)
	}
	var times []time.Duration
	for begin := time.Now(); time.Since(begin) < lasts && ctx.Err() == nil; {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, ctx.Err()
}

// quantile gives the time that a share q of all does not exceed.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
