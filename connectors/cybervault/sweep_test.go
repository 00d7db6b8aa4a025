package cybervault

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/cybervault"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A bench is a source before a kind simulator, pulled by hand.
type bench struct {
	sim    *sim.Sim
	source *Source
	cursor []byte
	got    []hub.Finding
	asked  []string // paths with their queries
	edit   func(w http.ResponseWriter, r *http.Request) bool
}

func newBench(t *testing.T, text string) *bench {
	b := &bench{sim: sim.New(sim.Options{Options: unkind.Options{Kind: true}, Tier: "enterprise"})}
	wire := connectortest.Connect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked = append(b.asked, r.URL.RequestURI())
		if b.edit == nil || !b.edit(w, r) {
			b.sim.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(wire.Close)
	b.source = opened(t, text, wire.Client())
	return b
}

func (b *bench) try(ctx context.Context) error {
	b.asked = nil
	return b.source.Pull(ctx, b.cursor, func(page connectors.Page, next []byte) error {
		b.got, b.cursor = append(b.got, page.Findings...), next
		return nil
	})
}

// pull pulls once, a minute after what came before.
func (b *bench) pull(t *testing.T) {
	t.Helper()
	time.Sleep(time.Minute)
	if err := b.try(t.Context()); err != nil {
		t.Fatalf("pull: %v", err)
	}
	for _, v := range b.sim.Violations() {
		t.Errorf("violation: %s", v)
	}
}

// said gives the findings since the last call in short.
func (b *bench) said() string {
	var out []string
	for _, f := range b.got {
		out = append(out, fmt.Sprintf("%s %s %s", f.Labels["cybervault_status"], f.Severity, f.Status))
	}
	b.got = nil
	return strings.Join(out, ", ")
}

func TestLifeOfAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		id := b.sim.AddAlert(sim.Alert{Severity: "high", Type: "xss", AssetID: "srv", Status: "open"}).ID
		var last hub.Finding
		for _, step := range []struct{ status, severity, want string }{
			{"", "", "open high open"},
			{"", "", ""},
			{"", "critical", "open critical open"},
			{"investigating", "", "investigating critical open"},
			{"open", "", "open critical open"},
			{"resolved", "", "resolved critical resolved"},
			{"dismissed", "low", ""}, // closed is closed
			{"open", "", "open low open"},
			{"dismissed", "", "dismissed low resolved"},
			{"", "", ""},
		} {
			b.sim.Change(id, step.status, step.severity)
			b.pull(t)
			for _, f := range b.got {
				if f.ObservedAt.Before(last.ObservedAt) || f.ObservedAt.Equal(last.ObservedAt) && f.SourceSequence <= last.SourceSequence {
					t.Errorf("%+v is not after %+v", f, last)
				}
				last = f
			}
			if got := b.said(); got != step.want {
				t.Errorf("after %q %q: %q, want %q", step.status, step.severity, got, step.want)
			}
		}
		// Long after, when its closing is forgotten.
		time.Sleep(48 * time.Hour)
		b.pull(t)
		b.pull(t)
		b.sim.Change(id, "investigating", "")
		b.pull(t)
		if got := b.said(); got != "investigating low open" || time.Since(last.ObservedAt) < 48*time.Hour {
			t.Errorf("opened again after two days: %q", got)
		}
	})
}

// TestAbsenceEndsNothing: an alert that no list shows stays, and is looked for
// ever less often.
func TestAbsenceEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.Add(1)
		b.pull(t)
		b.got = nil
		hidden := true
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if hidden && r.URL.Path == "/v2/alerts" {
				unkind.Answer(w, 200, map[string]any{"data": []any{}, "next_cursor": nil, "has_more": false})
			}
			return hidden && r.URL.Path == "/v2/alerts"
		}
		looked := 0
		for range 40 {
			b.pull(t)
			if strings.Contains(strings.Join(b.asked, " "), "status=resolved") {
				looked++
			}
		}
		if looked != 6 || len(b.got) > 0 { // 1st, 2nd, 4th, 8th, 16th, 32nd
			t.Errorf("looked %d times for the missing alert, want 6; findings %v", looked, b.got)
		}
		hidden = false
		b.sim.Change(b.sim.Alerts()[0].ID, "resolved", "")
		b.pull(t)
		if got := b.said(); !strings.HasPrefix(got, "resolved") {
			t.Errorf("when it is back: %q", got)
		}
	})
}

// TestQuietSweepIsCheap counts the calls of a sweep when nothing has changed.
func TestQuietSweepIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		for _, id := range b.sim.Add(1500) {
			b.sim.Change(id, "resolved", "")
		}
		b.sim.Add(10)
		b.pull(t)
		time.Sleep(time.Hour)
		b.pull(t) // sees what the last one saw within its margin
		time.Sleep(time.Hour)
		b.pull(t)
		if len(b.asked) != 4 { // new, open, investigating, status
			t.Errorf("a quiet sweep made %d calls: %v", len(b.asked), b.asked)
		}
		if n := len(b.got); n != 1510 {
			t.Errorf("%d findings of 1510 alerts", n)
		}
	})
}

// TestUnorderedListIsReadToItsEnd: the document promises no order.
func TestUnorderedListIsReadToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		var alerts []sim.Alert
		add := func(status string) {
			alerts = append(alerts, sim.Alert{ID: fmt.Sprint("alt_", len(alerts)), Severity: "low", Type: "xss", AssetID: "a", Status: status, CreatedAt: time.Now()})
		}
		for range 250 {
			add("resolved")
			time.Sleep(time.Minute)
		}
		// Oldest first, two pages, whatever the filter.
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v2/alerts" {
				return false
			}
			list, more := alerts[:200], true
			if r.URL.Query().Get("after") != "" {
				list, more = alerts[200:], false
			}
			if r.URL.Query().Get("status") != "" {
				list, more = nil, false
			}
			unkind.Answer(w, 200, map[string]any{"data": list, "next_cursor": "2", "has_more": more})
			return true
		}
		b.pull(t)
		time.Sleep(24 * time.Hour)
		b.pull(t)
		b.got = nil
		add("resolved") // at the end, opened and closed since
		b.pull(t)
		if got := b.said(); got != "resolved low resolved" {
			t.Errorf("the new alert at the end of the list: %q", got)
		}
	})
}

// TestGoesOnWhereItWasBrokenOff throttles every second call: a sweep of many
// pages must end all the same, reading each page once.
func TestGoesOnWhereItWasBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.Add(1000)
		calls, pages := 0, map[string]int{}
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			if calls++; calls%2 == 0 {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(429)
				return true
			}
			pages[r.URL.RequestURI()]++
			return false
		}
		for b.cursor == nil || !strings.Contains(b.source.Describe(b.cursor), "1 sweeps done") {
			_ = b.try(t.Context())
			time.Sleep(3 * time.Second)
			if calls > 100 {
				t.Fatalf("no end after %d calls: %s", calls, b.source.Describe(b.cursor))
			}
		}
		for page, n := range pages {
			if n > 1 {
				t.Errorf("%s was read %d times", page, n)
			}
		}
		if len(b.got) != 1000 {
			t.Errorf("%d findings of 1000 alerts", len(b.got))
		}
	})
}

// TestStaleCursor: their cursor is refused after a while; the walk starts over.
func TestStaleCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.Add(450)
		down, stale := true, true
		b.edit = func(w http.ResponseWriter, r *http.Request) bool {
			switch after := r.URL.Query().Get("after"); {
			case after != "" && down:
				w.WriteHeader(500)
			case after != "" && stale:
				stale = false
				w.WriteHeader(400)
			default:
				return false
			}
			return true
		}
		if err := b.try(t.Context()); hub.KindOf(err) != hub.Transient {
			t.Fatalf("down on the second page: %v", err)
		}
		down = false
		b.pull(t)
		if len(b.got) != 450 {
			t.Errorf("%d findings of 450 alerts", len(b.got))
		}
	})
}

func TestMoreThanIsTracked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, strings.Replace(config1, "token:", "max_tracked: 5, token:", 1))
		ids := b.sim.Add(8)
		time.Sleep(time.Minute)
		err := b.try(t.Context())
		if hub.KindOf(err) != hub.Invalid || !strings.Contains(err.Error(), "max_tracked") {
			t.Errorf("error %v, want one about max_tracked", err)
		}
		seen := map[string]bool{}
		for _, f := range b.got {
			seen[f.SourceID] = true
		}
		if len(seen) != 8 {
			t.Errorf("%d of 8 alerts arrived", len(seen))
		}
		for _, id := range ids[:4] {
			b.sim.Change(id, "resolved", "")
		}
		b.pull(t) // makes room
		time.Sleep(time.Hour)
		b.pull(t)
	})
}

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, strings.Replace(config1, "token:", "history: 24h, token:", 1))
		now := time.Now()
		for i, status := range []string{"open", "resolved"} {
			for j, age := range []time.Duration{time.Hour, 1000 * time.Hour} {
				b.sim.AddAlert(sim.Alert{ID: fmt.Sprint(i, j), Severity: "low", Type: "xss", AssetID: "a", Status: status, CreatedAt: now.Add(-age)})
			}
		}
		b.pull(t)
		var ids []string
		for _, f := range b.got {
			ids = append(ids, f.SourceID)
			if f.SourceID == "0 1" && !f.ObservedAt.Equal(now.Add(-1000*time.Hour).Truncate(time.Second)) {
				t.Errorf("an old open alert was observed at %v", f.ObservedAt)
			}
		}
		if got := strings.Join(ids, ","); got != "1 0,0 0,0 1" {
			t.Errorf("first pull took %s, want all open ones and the newer closed one", got)
		}
	})
}

// TestRegion: the base URL redirects reads to a region, also at a host below.
func TestRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		b.sim.Redirect("http://us-east-1.far.example")
		b.sim.Add(3)
		b.pull(t)
		if len(b.got) != 3 {
			t.Errorf("%d findings of 3 alerts", len(b.got))
		}
		if u, _ := url.Parse("http://us-east-1.far.example.evil.example"); u != nil {
			b.sim.Redirect(u.String())
		}
		fresh := opened(t, config1, b.source.api.Client)
		if err := fresh.Test(t.Context()); hub.KindOf(err) != hub.Forbidden {
			t.Errorf("redirect to a stranger: %v, want it refused", err)
		}
	})
}

func TestMemoryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := memory{}
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			m[keyOf(rapid.String().Draw(t, "id"))] = entry{
				digest:   [8]byte(head(rapid.String().Draw(t, "content"))),
				observed: hub.FromMicros(rapid.Int64Range(-1<<50, 1<<52).Draw(t, "observed")), sequence: rapid.Int64().Draw(t, "sequence"),
				created: fromUnix(rapid.Int64Range(-1<<35, 1<<35).Draw(t, "created")), sweep: rapid.Uint64().Draw(t, "sweep"),
				missed: rapid.Uint64Range(0, 1<<62).Draw(t, "missed"), closed: rapid.Bool().Draw(t, "closed"),
			}
		}
		packed := m.pack()
		got, err := unpack(packed)
		if err != nil || len(got) != len(m) {
			t.Fatalf("unpack: %d of %d, %v", len(got), len(m), err)
		}
		for k, want := range m {
			if got[k] != want {
				t.Fatalf("got %+v, want %+v", got[k], want)
			}
		}
		if len(packed) > 0 {
			if _, err := unpack(packed[:len(packed)-1]); err == nil {
				t.Fatal("a torn memory was read")
			}
		}
	})
}

func TestCursorOfAnotherVersion(t *testing.T) {
	s := opened(t, config1, &http.Client{})
	for _, cursor := range []string{"{", `{"v":2}`, `{"v":1,"memory":"AAAA"}`} {
		if err := s.Pull(t.Context(), []byte(cursor), nil); hub.KindOf(err) != hub.Internal {
			t.Errorf("%s: %v, want it refused before any call", cursor, err)
		}
	}
}

// TestTwoChangesWithinASecond: their clock tells seconds, so the sequence must
// keep the changes apart.
func TestTwoChangesWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		id := b.sim.AddAlert(sim.Alert{Severity: "high", Type: "xss", AssetID: "srv", Status: "open"}).ID
		for _, severity := range []string{"", "low", "high", "critical"} {
			b.sim.Change(id, "", severity)
			if err := b.try(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for i := 2; i < len(b.got); i++ {
			if last, f := b.got[i-1], b.got[i]; !f.ObservedAt.Equal(last.ObservedAt) || f.SourceSequence <= last.SourceSequence {
				t.Errorf("%s at %v #%d, then %s at %v #%d", last.Severity, last.ObservedAt, last.SourceSequence, f.Severity, f.ObservedAt, f.SourceSequence)
			}
		}
		if len(b.got) != 4 {
			t.Errorf("%d findings of 3 changes", len(b.got))
		}
	})
}
