package main

import (
	"context"
	"fmt"
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
	return nil
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
	sent := (&rig.Load{
		URL: h.URL("/api/v1/findings/batch"), Key: rig.Key, Callers: 2, Timeout: 2 * time.Minute,
		Body: func(buf []byte, i int) ([]byte, bool) {
			from := i * seedBatch
			if from >= b.seeds {
				return buf, false
			}
			return findings.AppendBatch(buf, from, min(from+seedBatch, b.seeds)), true
		},
		Done: func(i, _ int, _ []byte) {
			if i%200 == 0 {
				progress("%d of %d planted", i*seedBatch, b.seeds)
			}
		},
	}).Run(ctx)
	if err := worked(sent); err != nil {
		return err
	}
	if err := triagedAll(ctx, h, b.seeds); err != nil {
		return err
	}
	progress("%d problems planted in %v", b.seeds, time.Since(begin).Round(time.Second))
	return h.Stop()
}

// triagedAll waits until the hub has triaged n findings; it gives up when there
// was no progress for a minute.
func triagedAll(ctx context.Context, h *rig.Hub, n int) error {
	last, at := -1.0, time.Now()
	var failed error
	err := rig.Poll(ctx, 2*time.Second, func() bool {
		done, err := h.Metric(ctx, "tocsin_findings_triaged_total")
		if err != nil {
			failed = err
			return true
		}
		if done > last {
			last, at = done, time.Now()
			progress("%.0f of %d triaged", done, n)
		}
		if time.Since(at) > time.Minute {
			failed = fmt.Errorf("triage stopped at %.0f of %d findings", done, n)
		}
		return failed != nil || done >= float64(n)
	})
	if failed != nil {
		return failed
	}
	return err
}
