package rig

import (
	"os"
	"testing"
)

func TestUsageOf(t *testing.T) {
	u, err := UsageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.PeakRSS < 1<<20 || u.PeakRSS > 1<<40 || u.CPU < 0 || u.Read < 0 || u.Written < 0 {
		t.Errorf("got %+v of ourselves", u)
	}
	if _, err := UsageOf(1 << 30); err == nil {
		t.Error("a process that is not there has used something")
	}
}
