package e2e

import (
	"syscall"
	"testing"
	"time"
)

// pauseNode stops a node in mid-work, for longer than others wait for a sign of
// life, and lets it go on: it does not know then that it was taken for dead.
func (d *drill) pauseNode(t *testing.T, long time.Duration) {
	t.Helper()
	pid := d.nodes[d.rnd.IntN(len(d.nodes))].PID()
	if err := syscall.Kill(-pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pause(t, long)
	if err := syscall.Kill(-pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}
