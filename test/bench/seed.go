package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// seeded gives a folder with a hub's data that knows b.seeds problems. A kept
// one is copied, so that it stays as it is.
func (b *bench) seeded(ctx context.Context) (string, error) {
	dir := filepath.Join(b.dir, "seeded")
	if b.seed != "" {
		if n, err := os.ReadFile(filepath.Join(b.seed, "fingerprints")); err == nil {
			known, _ := strconv.Atoi(strings.TrimSpace(string(n)))
			if known != b.seeds {
				return "", fmt.Errorf("%s holds %d problems, not %d; name another folder or --seed-fingerprints %d", b.seed, known, b.seeds, known)
			}
			progress("using the %d problems in %s", known, b.seed)
			return dir, copyData(ctx, b.seed, dir)
		}
	}
	if err := b.plant(ctx, dir); err != nil {
		return "", err
	}
	if b.seed == "" {
		return dir, nil
	}
	if err := copyData(ctx, dir, b.seed); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(b.seed, "fingerprints"), []byte(strconv.Itoa(b.seeds)), 0o600)
}

func copyData(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if text, err := exec.CommandContext(ctx, "cp", "-a", filepath.Join(from, "data"), to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the seeded data: %w: %s", err, text)
	}
	return settled(filepath.Join(to, "data"))
}

// settled waits until the disk has all files of a folder, so that writing them
// back does not slow down what is measured, and reads them once, because a hub
// that has been running finds what it needs in the system's cache.
func settled(dir string) error {
	files, err := os.ReadDir(dir)
	for _, file := range files {
		var f *os.File
		if f, err = os.Open(filepath.Join(dir, file.Name())); err != nil {
			return err
		}
		err = f.Sync()
		if err == nil {
			_, err = io.Copy(io.Discard, bufio.NewReaderSize(f, 1<<20))
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return err
}

// seedBatch is how many findings a request plants.
const seedBatch = 500

// plant lets a hub without endpoints and playbooks triage findings, through the
// API as anybody would.
func (b *bench) plant(ctx context.Context, dir string) error {
	h, err := rig.NewHub(b.binary, dir)
	if err != nil {
		return err
	}
	h.Env = []string{"TOCSIN_LOG_LEVEL=warn"}
	if err := up(ctx, h); err != nil {
		return err
	}
	defer h.Kill() //nolint:errcheck // stopped before, if all went well
	begin := time.Now()
	findings := rig.Findings{Run: "seed"}
	ahead := make(chan struct{}, seedAhead/seedBatch)
	triaged := make(chan error, 1)
	go func() { triaged <- triagedAll(ctx, h, b.seeds, ahead) }()
	sent := (&rig.Load{
		URL: h.URL("/api/v1/findings/batch"), Key: rig.Key, Callers: 2, Timeout: 2 * time.Minute, Posts: (b.seeds + seedBatch - 1) / seedBatch,
		Body: func(buf []byte, i int) ([]byte, bool) {
			select {
			case ahead <- struct{}{}:
			case <-time.After(5 * time.Minute):
				return buf, false // triage has stopped, and says so
			}
			return findings.AppendBatch(buf, i*seedBatch, min((i+1)*seedBatch, b.seeds)), true
		},
	}).Run(ctx)
	if err := errors.Join(worked(sent), <-triaged); err != nil {
		return err
	}
	progress("%d problems planted in %v", b.seeds, time.Since(begin).Round(time.Second))
	return h.Stop()
}

// seedAhead is how many planted findings may wait for their triage.
const seedAhead = 100_000

// triagedAll waits until the hub has triaged n findings, and takes a token from
// ahead for each batch of them. It gives up when there was no progress for a
// minute.
func triagedAll(ctx context.Context, h *rig.Hub, n int, ahead <-chan struct{}) error {
	last, at, batches := -1, time.Now(), 0
	var failed error
	err := rig.Poll(ctx, time.Second, func() bool {
		count, err := h.Metric(ctx, "tocsin_findings_triaged_total")
		if err != nil {
			failed = err
			return true
		}
		done := int(count)
		for ; batches < done/seedBatch; batches++ {
			<-ahead
		}
		if done/50_000 > last/50_000 {
			progress("%d of %d triaged", done, n)
		}
		if done > last {
			last, at = done, time.Now()
		}
		if time.Since(at) > time.Minute {
			failed = fmt.Errorf("triage stopped at %d of %d findings", done, n)
		}
		return failed != nil || done >= n
	})
	return cmp.Or(failed, err)
}
