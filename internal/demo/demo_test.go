package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/test/sim/elastic"
	"go.uber.org/goleak"
)

// TestOnce is the product's smoke test: the whole way from finding to audit log,
// judged by the far sides. It also shows that the demo ends cleanly.
func TestOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole product")
	}
	leaks := goleak.IgnoreCurrent()
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, log bytes.Buffer
	err := Run(ctx, Options{Once: true, JSON: true, Out: &out, Err: &log, Version: "test"})
	if err != nil {
		t.Errorf("Run: %v\nlog:\n%s", err, &log)
	}
	var r result
	if err := json.Unmarshal(out.Bytes(), &r, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("output %q: %v", &out, err)
	}
	t.Logf("%s", &out)
	if !r.ChainVerified || r.Lost != 0 || r.Unsigned != 0 {
		t.Errorf("got %+v, want a verified chain and nothing lost or unsigned", r)
	}
	for name, n := range map[string]int{
		"findings": r.Findings - 300, "alerts": r.Alerts - onceLives, "incidents": r.Incidents - 1,
		"webhook": r.Deliveries.Webhook - r.Alerts, "slack": r.Deliveries.Slack - 1, "pagerduty": r.Deliveries.PagerDuty - 1,
		"elasticsearch": r.Deliveries.Elastic - r.Alerts, "audit entries": r.AuditEntries - r.Alerts,
	} {
		if n < 0 {
			t.Errorf("%s: %d fewer than there must be in %+v", name, -n, r)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	goleak.VerifyNone(t, leaks,
		// fasthttp keeps one clock for the life of the process, and cleans a pool
		// of workers every ten seconds, the last time after the server's end.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// A demo that is interrupted ends quickly, and says so only if a verdict was
// asked for.
func TestInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole product")
	}
	for _, c := range []struct {
		name string
		o    Options
		want error
	}{
		{"without end", Options{}, nil},
		{"for a time", Options{For: time.Hour}, errInterrupted},
		{"once", Options{Once: true}, errInterrupted},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var log bytes.Buffer
			c.o.Out, c.o.Err = cancelled{cancel}, &log
			if err := Run(ctx, c.o); !errors.Is(err, c.want) {
				t.Errorf("Run: %v, want %v\nlog:\n%s", err, c.want, &log)
			}
			if err := Run(ctx, c.o); !errors.Is(err, c.want) {
				t.Errorf("Run, interrupted before it began: %v, want %v", err, c.want)
			}
		})
	}
}

// cancelled interrupts the demo when it says the first word.
type cancelled struct{ cancel func() }

func (c cancelled) Write(b []byte) (int, error) { c.cancel(); return len(b), nil }

func TestProgressIsPlainWhereLinesStay(t *testing.T) {
	var out bytes.Buffer
	s := newShow(Options{Out: &out})
	f := newFeed(nil, &farSides{})
	f.far.siem = elastic.New(elastic.Options{})
	s.progress(f, dashboard{Findings: 7, Alerts: 3}, time.Second)
	s.progress(f, dashboard{Findings: 8, Alerts: 3}, time.Second) // too soon for another line
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "findings 7  alerts 3") || strings.ContainsAny(got, "\r\x1b") {
		t.Errorf("got %q, want one plain line", got)
	}
}

// The script is the same each time, tells each life to its end, and sends some
// observations late and some twice.
func TestScript(t *testing.T) {
	type line struct{ source, asset, severity, status string }
	run := func() (lines []line, lives map[*life]int) {
		lives = map[*life]int{}
		s := newScript(onceLives)
		for sends := s.next(waveSize); len(sends) > 0; sends = s.next(waveSize) {
			for _, x := range sends {
				lives[x.life]++
				lines = append(lines, line{x.body.Source, x.body.AssetID, x.body.Severity, x.body.Status})
			}
		}
		return lines, lives
	}
	first, lives := run()
	again, _ := run()
	if !slices.Equal(first, again) {
		t.Error("two runs of the script differ")
	}
	if len(lives) != onceLives || len(first) < 250 {
		t.Errorf("%d lives and %d sends, want %d and at least 250", len(lives), len(first), onceLives)
	}
	late, twice, ended, reopened, shared := 0, 0, 0, 0, 0
	for l, n := range lives {
		if n != len(l.sends) || n != l.want.count+l.want.duplicates {
			t.Errorf("life %+v was sent %d of %d times", l.want, n, len(l.sends))
		}
		for i := 1; i < len(l.sends); i++ {
			if l.sends[i].ObservedAt.Before(l.sends[i-1].ObservedAt) {
				late++
			}
		}
		twice += l.want.duplicates
		if l.want.status == "resolved" {
			ended++
		}
		if l.want.generation > 1 {
			reopened++
		}
		if l.want.sources > 1 {
			shared++
		}
	}
	for what, n := range map[string]int{"late": late, "sent twice": twice, "resolved": ended, "reopened": reopened, "shared": shared} {
		if n == 0 {
			t.Errorf("nothing is %s", what)
		}
	}
}

func TestAlertInKey(t *testing.T) {
	for key, want := range map[string]string{
		"alt_01ABC:2": "alt_01ABC", "tocsin/alt_01ABC/2": "alt_01ABC", "alt_01ABC-1": "alt_01ABC", "alt_01ABC": "alt_01ABC", "x": "x",
	} {
		if got := alertIn(key); got != want {
			t.Errorf("alertIn(%q) = %q, want %q", key, got, want)
		}
	}
}
