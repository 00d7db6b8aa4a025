package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
)

// A drill is three nodes under load while their world breaks.
type drill struct {
	*team
	kafka    *services.KafkaServer
	postgres *services.PostgresServer
	swarm    *swarm
	watcher  *watcher
	rnd      *rand.Rand
	long     bool // the full load, and breaks of full length
}

// paths that the endpoints of a drill send to.
var drillPaths = []string{"/plain", "/ordered"}

// Whatever was answered with 2xx is in an alert once and reaches every endpoint,
// in order where that is asked for, whichever part of the cluster fails.
// TOCSIN_E2E_FULL=1 is the same under full load and with longer breaks.
func TestClusterUnderFaults(t *testing.T) {
	distributedOnly(t)
	d := newDrill(t)
	breaks := slices.DeleteFunc(d.breaks(), func(m mishap) bool { return !regexp.MustCompile(os.Getenv("TOCSIN_E2E_MISHAPS")).MatchString(m.name) })
	d.rnd.Shuffle(len(breaks), func(i, j int) { breaks[i], breaks[j] = breaks[j], breaks[i] })
	begun := time.Now()
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		d.swarm.send(t.Context())
	}()
	for _, b := range breaks {
		d.recover(t, b)
	}
	if d.long {
		_ = rest(t.Context(), time.Until(begun.Add(time.Minute)))
	}
	d.swarm.finish()
	<-loaded
	took := time.Since(begun)
	findings := d.swarm.check(t)
	t.Logf("%d findings in %v, %.0f a second, put %d times", len(findings), took.Round(time.Second), float64(len(findings))/took.Seconds(), d.swarm.tries)
	d.check(t, findings)
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	d := &drill{rnd: random(t), long: os.Getenv("TOCSIN_E2E_FULL") == "1"}
	d.kafka = services.Kafka(t, services.KafkaOptions{})
	d.postgres = services.Postgres(t)
	d.team = newTeam(t, 3, d.kafka.Brokers())
	d.start(t)
	d.watcher = newWatcher(t, "drill")
	for _, path := range drillPaths {
		more := map[string]any{"events": []string{"alert.*"}, "retry": map[string]any{"schedule": []string{"200ms", "1s", "1s", "2s", "5s", "5s", "10s", "10s"}}}
		if path == "/ordered" {
			more["ordering"] = "key"
		}
		if _, err := d.nodes[0].Webhook(t.Context(), d.watcher.Receiver, path, more); err != nil {
			t.Fatal(err)
		}
	}
	rate := number(t, "TOCSIN_E2E_RATE", 150, 100)
	if d.long {
		rate = 0
	}
	d.swarm = newSwarm("drill", d.nodes, rate)
	return d
}

// A mishap breaks something and mends it.
type mishap struct {
	name string
	do   func(t *testing.T)
}

// breaks are what goes wrong in a drill.
func (d *drill) breaks() []mishap {
	paused := 8 * time.Second
	if d.long {
		paused = 20 * time.Second
	}
	all := []mishap{
		{"a node killed", d.killNode},
		{"a node killed again", d.killNode},
		{"a node paused for 7 s", func(t *testing.T) { d.pauseNode(t, 7*time.Second) }},
		{"the broker killed", func(t *testing.T) { d.kafka.Kill(t); d.kafka.Start(t) }},
		{fmt.Sprintf("the broker paused for %v", paused), func(t *testing.T) {
			d.kafka.Pause(t)
			pause(t, paused)
			d.kafka.Resume(t)
		}},
		{"PostgreSQL restarted", func(t *testing.T) { d.postgres.Stop(t); d.postgres.Start(t) }},
		{"all connections to PostgreSQL cut", func(t *testing.T) { d.postgres.Cut(t) }},
	}
	if d.long {
		all = append(all, mishap{"two nodes killed", func(t *testing.T) { d.killNode(t); d.killNode(t) }}, mishap{"all nodes killed", d.killAll})
	}
	if clockJumps {
		all = append(all,
			mishap{"a clock two hours ahead for 5 s", func(t *testing.T) { d.jump(t, 2*time.Hour) }},
			mishap{"a clock two hours behind for 5 s", func(t *testing.T) { d.jump(t, -2*time.Hour) }})
	}
	return all
}

// jump makes the clock of a node wrong for a while. Nothing that this node does
// meanwhile may be late or lost.
func (d *drill) jump(t *testing.T, ahead time.Duration) {
	j := newJumper(t, d.nodes[d.rnd.IntN(len(d.nodes))])
	defer j.close(t)
	j.to(t, ahead)
	pause(t, 5*time.Second)
	j.to(t, 0)
}

// killNode kills a node at random and starts it again after a while.
func (d *drill) killNode(t *testing.T) {
	h := d.nodes[d.rnd.IntN(len(d.nodes))]
	kill(t, h)
	pause(t, time.Duration(d.rnd.Int64N(int64(3*time.Second))))
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
}

// killAll is a power cut of all nodes, but not of what they keep everything in.
func (d *drill) killAll(t *testing.T) {
	for _, h := range d.nodes {
		kill(t, h)
	}
	for _, h := range d.nodes {
		if err := h.Start(); err != nil {
			t.Fatal(err)
		}
	}
}

// recover breaks something and tells how long it took until findings that were
// sent from then on were taken, and delivered to every endpoint.
func (d *drill) recover(t *testing.T, b mishap) {
	t.Helper()
	pause(t, time.Duration(d.rnd.Int64N(int64(time.Second))))
	from := time.Now()
	b.do(t)
	mended := time.Now()
	accepted := d.awaitTaken(t, from)
	delivered := d.awaitDelivered(t, from)
	late := d.problemsBefore(mended)
	d.watcher.await(t, drillPaths, late, time.Minute)
	for _, h := range d.nodes {
		d.ready(t, h)
	}
	t.Logf("%-36s mended after %5.2f s; first accepted after %5.2f s, first delivered after %5.2f s, nothing late after %5.2f s", b.name+":",
		mended.Sub(from).Seconds(), accepted.Sub(from).Seconds(), delivered.Sub(from).Seconds(), time.Since(from).Seconds())
}

func (d *drill) ready(t *testing.T, h *rig.Hub) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

// awaitTaken waits until a finding was taken that was sent from then on.
func (d *drill) awaitTaken(t *testing.T, from time.Time) (at time.Time) {
	t.Helper()
	eventually(t, "a finding is taken after a fault", time.Minute, func() bool {
		d.swarm.mu.Lock()
		defer d.swarm.mu.Unlock()
		for _, x := range d.swarm.taken {
			if !x.sent.Before(from) && (at.IsZero() || x.at.Before(at)) {
				at = x.at
			}
		}
		return !at.IsZero()
	})
	return at
}

// awaitDelivered waits until an alert has come whose first finding was sent from
// then on.
func (d *drill) awaitDelivered(t *testing.T, from time.Time) (at time.Time) {
	t.Helper()
	eventually(t, "an alert is delivered after a fault", 2*time.Minute, func() bool {
		at = d.watcher.firstAfter(drillPaths, d.began(), from)
		return !at.IsZero()
	})
	return at
}

// began gives when the first finding of each problem was sent.
func (d *drill) began() map[int]time.Time {
	d.swarm.mu.Lock()
	defer d.swarm.mu.Unlock()
	out := map[int]time.Time{}
	for i, x := range d.swarm.taken {
		if before, there := out[series(i)]; !there || x.sent.Before(before) {
			out[series(i)] = x.sent
		}
	}
	return out
}

// problemsBefore gives the problems of which a finding was taken before a moment.
func (d *drill) problemsBefore(moment time.Time) map[int]bool {
	d.swarm.mu.Lock()
	defer d.swarm.mu.Unlock()
	out := map[int]bool{}
	for i, x := range d.swarm.taken {
		if x.at.Before(moment) {
			out[series(i)] = true
		}
	}
	return out
}

// check checks all promises when the load is over.
func (d *drill) check(t *testing.T, findings map[int]taken) {
	t.Helper()
	problems := map[int]bool{}
	for i := range findings {
		problems[series(i)] = true
	}
	d.watcher.await(t, drillPaths, problems, 3*time.Minute)
	quiet(t, d.nodes[0], "webhook")
	if plain, ordered := d.watcher.distinct("/plain"), d.watcher.distinct("/ordered"); plain != ordered {
		t.Errorf("one endpoint got %d events and the other %d", plain, ordered)
	}
	for _, path := range drillPaths {
		d.watcher.check(t, path, problems, path == "/ordered")
	}
	checkInAlerts(t, d.nodes[0], findings)
	checkCounts(t, d.nodes[1], "drill", len(problems))
	d.verified(t)
}

// checkInAlerts checks that every finding that was taken is in an alert.
func checkInAlerts(t *testing.T, h *rig.Hub, findings map[int]taken) {
	t.Helper()
	var alerts map[string]string
	lost := func() (out []string) {
		for i, x := range findings {
			if alerts[x.id] == "" {
				out = append(out, fmt.Sprintf("finding %d, %s", i, x.id))
			}
		}
		return out
	}
	eventually(t, "every finding is in an alert", time.Minute, func() bool {
		alerts = findingAlerts(t, h)
		return len(alerts) >= len(findings)
	})
	if out := lost(); len(out) > 0 {
		t.Errorf("%d findings were taken and are in no alert, such as %s", len(out), out[0])
	}
	if len(alerts) != len(findings) {
		t.Errorf("%d findings were taken, and there are %d", len(findings), len(alerts))
	}
}

// checkCounts checks that each problem is one alert, and counts each of its
// findings once.
func checkCounts(t *testing.T, h *rig.Hub, run string, problems int) {
	t.Helper()
	seen, wrong := map[string]int{}, 0
	for after := ""; ; {
		var part struct {
			Data []struct {
				AssetID    string `json:"asset_id"`
				Count      int    `json:"count"`
				Duplicates int    `json:"duplicates"`
			} `json:"data"`
			NextCursor string `json:"next_cursor"`
		}
		if err := h.Get(t.Context(), "/alerts?limit=200&after="+after, &part); err != nil {
			t.Fatal(err)
		}
		for _, a := range part.Data {
			if !strings.HasPrefix(a.AssetID, "rig-"+run+"-") {
				continue
			}
			seen[a.AssetID]++
			if a.Count != seriesLength || a.Duplicates != 0 || seen[a.AssetID] > 1 {
				if wrong++; wrong <= 5 {
					t.Errorf("an alert of %s: count %d, duplicates %d, the %d. of it; want %d, 0, 1", a.AssetID, a.Count, a.Duplicates, seen[a.AssetID], seriesLength)
				}
			}
		}
		if after = part.NextCursor; after == "" {
			break
		}
	}
	if len(seen) != problems || wrong > 0 {
		t.Errorf("%d problems have %d alerts, %d of them wrong", problems, len(seen), wrong)
	}
}
