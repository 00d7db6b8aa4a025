package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMeterOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		m := newMeter(&program{stderr: &b, terminal: true}, bytesUnit)
		m.update(0, 8<<20, "")
		time.Sleep(2 * time.Second)
		m.update(2<<20, 8<<20, "5 accepted")
		m.update(3<<20, 8<<20, "too early to be shown")
		m.close()
		want := "\r[######..................]  25%  2.0 MB of 8.0 MB  1.0 MB/s  ETA 6s  5 accepted"
		if got := b.String(); !strings.HasPrefix(got, want+"\r") || strings.Contains(got, "too early") || strings.Contains(got, "\n") {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestMeterElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		m := newMeter(&program{stderr: &b}, entriesUnit)
		for i := range int64(12) {
			m.update(i*10, 0, "")
			time.Sleep(time.Second)
		}
		m.close()
		if got, want := b.String(), "50 entries  10 entries/s\n100 entries  10 entries/s\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
