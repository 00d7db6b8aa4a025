// Package rig drives the hub from outside, for the benchmark and for the tests
// against the real program: it builds and runs it as a process that can be
// killed, makes findings, loads the hub with them, and receives its webhooks.
//
// It speaks HTTP only and shares no code with the hub, neither to make a
// finding nor to verify a signature. What it does for each finding and each
// webhook is cheap, because it runs on the hub's own cores: no reflection, no
// maps in the loader, one short lock in a receiver.
//
// Only loopback addresses are used.
package rig

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"time"
)

// Key is the API key of every hub that the rig starts.
const Key = "toc_live_rig0123456789abcdefghijklmnopqrstuvwxyz"

// Build builds the program into dir and gives its path. It uses the flags that
// tests are built with, so that most of it comes from the cache.
func Build(ctx context.Context, dir string) (string, error) {
	out := filepath.Join(dir, "tocsin")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, "github.com/tocsin/tocsin/cmd/tocsin")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, bytes.TrimSpace(text))
	}
	return out, nil
}

// FreeAddress gives a loopback address that nobody listens on. It stays free
// for a hub that is started, killed and started again on it.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Poll asks until done answers true or ctx ends. It is for what another process
// does, which tells nobody.
func Poll(ctx context.Context, every time.Duration, done func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
