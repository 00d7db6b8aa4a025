package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// A watcher receives webhooks and remembers of each path what matters when nodes
// die: what came first, and whether anything came out of its order.
type watcher struct {
	*rig.Receiver
	run string

	mu    sync.Mutex // guards what follows
	paths map[string]*watched
	moved chan struct{} // closed and made anew with each arrival
}

// A watched path.
type watched struct {
	ids      map[string]bool
	repeats  int
	changed  int               // repeats with other bytes
	created  map[int]string    // problem → webhook-id of its alert.created
	twice    map[int]string    // problems with another alert.created, under another id
	first    map[int]time.Time // when that came
	last     map[int]int64     // sequence of the newest event of a problem
	disorder []string
	bodies   map[string]uint64
}

func newWatcher(t *testing.T, run string) *watcher {
	t.Helper()
	w := &watcher{run: run, paths: map[string]*watched{}, moved: make(chan struct{})}
	r, err := rig.NewReceiver(w.take)
	if err != nil {
		t.Fatal(err)
	}
	w.Receiver = r
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if n := r.Bad.Load(); n > 0 {
			t.Errorf("%d webhooks were not signed as they should be; the first: %s", n, r.Reason())
		}
	})
	return w
}

func (w *watcher) take(h rig.Hook) rig.Answer {
	id, typ := string(h.ID), field(h.Body, `"type":"`)
	about := rig.Findings{Run: w.run}.Index(h.Body)
	sequence, _ := strconv.ParseInt(number64(h.Body, `"sequence":`), 10, 64)
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.path(h.Path)
	sum := fnv(h.Body)
	if before, known := p.bodies[id]; known && before != sum {
		p.changed++
	}
	p.bodies[id] = sum
	if p.ids[id] {
		p.repeats++
		return rig.Answer{Status: 204}
	}
	p.ids[id] = true
	if typ == "alert.created" {
		if other, there := p.created[about]; there && other != id {
			p.twice[about] = id
		}
		p.created[about], p.first[about] = id, h.At
	}
	if sequence <= p.last[about] {
		p.disorder = append(p.disorder, fmt.Sprintf("problem %d: event %d (%s) after %d", about, sequence, typ, p.last[about]))
	}
	p.last[about] = max(sequence, p.last[about])
	close(w.moved)
	w.moved = make(chan struct{})
	return rig.Answer{Status: 204}
}

func fnv(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// field gives the text behind a name, up to the next quote.
func field(b []byte, name string) string {
	_, rest, _ := bytes.Cut(b, []byte(name))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(text)
}

// number64 gives the digits behind a name; a sequence may stand in quotes.
func number64(b []byte, name string) string {
	_, rest, _ := bytes.Cut(b, []byte(name))
	rest = bytes.TrimLeft(rest, `"`)
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	return string(rest[:max(end, 0)])
}

func (w *watcher) path(name string) *watched {
	p := w.paths[name]
	if p == nil {
		p = &watched{
			ids: map[string]bool{}, created: map[int]string{}, twice: map[int]string{}, first: map[int]time.Time{},
			last: map[int]int64{}, bodies: map[string]uint64{},
		}
		w.paths[name] = p
	}
	return p
}

// await waits until every path has alert.created of all problems. It tells what is
// missing if that takes too long.
func (w *watcher) await(t *testing.T, paths []string, problems map[int]bool, within time.Duration) {
	t.Helper()
	limit := time.After(within)
	for {
		w.mu.Lock()
		moved, missing := w.moved, w.missing(paths, problems)
		w.mu.Unlock()
		if len(missing) == 0 {
			return
		}
		select {
		case <-moved:
		case <-limit:
			t.Fatalf("after %v %d of %d alerts had not come: %s …", within, len(missing), len(paths)*len(problems), missing[0])
		}
	}
}

func (w *watcher) missing(paths []string, problems map[int]bool) (out []string) {
	for _, path := range paths {
		p := w.path(path)
		for about := range problems {
			if p.created[about] == "" {
				out = append(out, fmt.Sprintf("%s: problem %d", path, about))
			}
		}
	}
	return out
}

// firstAfter gives when alert.created of a problem that was sent after a moment
// came to all paths.
func (w *watcher) firstAfter(paths []string, sent map[int]time.Time, after time.Time) (at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for about, when := range sent {
		if when.Before(after) {
			continue
		}
		var last time.Time
		for _, path := range paths {
			came, there := w.path(path).first[about]
			if !there {
				last = time.Time{}
				break
			}
			if came.After(last) {
				last = came
			}
		}
		if !last.IsZero() && (at.IsZero() || last.Before(at)) {
			at = last
		}
	}
	return at
}

// check checks one path when all is over.
func (w *watcher) check(t *testing.T, path string, problems map[int]bool, ordered bool) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.path(path)
	t.Logf("%s: %d webhooks, and %d repeats of them; %d out of order", path, len(p.ids), p.repeats, len(p.disorder))
	for _, about := range slices.Sorted(maps.Keys(p.created)) {
		if !problems[about] {
			t.Errorf("%s: alert.created for problem %d, which nobody sent", path, about)
		}
	}
	for about, id := range p.twice {
		t.Errorf("%s: problem %d has two alerts created, %s and %s", path, about, p.created[about], id)
	}
	if p.changed > 0 {
		t.Errorf("%s: %d repeats had other bytes", path, p.changed)
	}
	if ordered && len(p.disorder) > 0 {
		t.Errorf("%s: %d events came out of order, such as %s", path, len(p.disorder), p.disorder[0])
	}
}

// distinct counts the webhooks of a path, each once.
func (w *watcher) distinct(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.path(path).ids)
}
