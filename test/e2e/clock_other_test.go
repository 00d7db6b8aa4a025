//go:build !(linux && amd64)

package e2e

import (
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

const clockJumps = false

type jumper struct{}

func newJumper(t *testing.T, _ *rig.Hub) *jumper {
	t.Helper()
	t.Skip("NOT TESTED: clocks of processes can be made to jump on linux/amd64 only")
	return nil
}

func (*jumper) to(*testing.T, time.Duration) {}

func (*jumper) close(*testing.T) {}
