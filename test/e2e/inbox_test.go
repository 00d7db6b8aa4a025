package e2e

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// An inbox is a receiver that remembers what came, path by path.
type inbox struct {
	*rig.Receiver
	// answer decides what the n-th webhook (from 1) to a path gets; nil is 204.
	answer func(path string, n int) rig.Answer

	mu    sync.Mutex // guards paths and what is in them
	paths map[string]*box
	moved chan struct{} // closed and made anew with each arrival
}

// A box is what came to a path.
type box struct {
	letters []letter
	ids     map[string][sha256.Size]byte // of the body
	taken   map[string]bool              // answered with 2xx
	repeats int                          // ids that came again after they were taken
	changed []string                     // ids that came again with another body
	indexes map[int]int                  // finding → distinct taken ids that were about it
}

// A letter is one request.
type letter struct {
	id     string
	status int
	body   []byte
	header map[string]string
	at     int64 // nanoseconds
}

// newInbox makes an inbox that counts the findings of a run. With keep it keeps
// every request.
func newInbox(t *testing.T, findings rig.Findings, keep bool) *inbox {
	t.Helper()
	in := &inbox{paths: map[string]*box{}, moved: make(chan struct{})}
	r, err := rig.NewReceiver(func(h rig.Hook) rig.Answer { return in.take(h, findings, keep) })
	if err != nil {
		t.Fatal(err)
	}
	in.Receiver = r
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if n := r.Bad.Load(); n > 0 {
			t.Errorf("%d webhooks were not signed as they should be; the first: %s", n, r.Reason())
		}
	})
	return in
}

func (in *inbox) take(h rig.Hook, findings rig.Findings, keep bool) rig.Answer {
	id, sum, index := string(h.ID), sha256.Sum256(h.Body), findings.Index(h.Body)
	in.mu.Lock()
	defer in.mu.Unlock()
	b := in.box(h.Path)
	before, known := b.ids[id]
	if known && before != sum {
		b.changed = append(b.changed, id)
	}
	if b.taken[id] {
		b.repeats++
	}
	b.ids[id] = sum
	answer := rig.Answer{Status: 204}
	b.letters = append(b.letters, letter{id: id, at: h.At.UnixNano()})
	l := &b.letters[len(b.letters)-1]
	if in.answer != nil {
		answer = in.answer(h.Path, len(b.letters))
	}
	if answer.Status/100 == 2 && !b.taken[id] {
		b.taken[id] = true
		b.indexes[index]++
	}
	l.status = answer.Status
	if keep {
		l.keep(h)
	}
	close(in.moved)
	in.moved = make(chan struct{})
	return answer
}

func (l *letter) keep(h rig.Hook) {
	l.body = append([]byte(nil), h.Body...)
	l.header = map[string]string{}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature", "X-CV-Signature", "Content-Type", "User-Agent"} {
		l.header[name] = string(h.Header(name))
	}
}

func (in *inbox) box(path string) *box {
	b := in.paths[path]
	if b == nil {
		b = &box{ids: map[string][sha256.Size]byte{}, taken: map[string]bool{}, indexes: map[int]int{}}
		in.paths[path] = b
	}
	return b
}

// look calls f with what came to a path, under the lock.
func (in *inbox) look(path string, f func(*box)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	f(in.box(path))
}

// wait waits until done is true of what came to a path.
func (in *inbox) wait(t *testing.T, path, what string, done func(*box) bool) {
	t.Helper()
	after := timeLimit(t)
	for {
		in.mu.Lock()
		ok, moved := done(in.box(path)), in.moved
		n := len(in.box(path).letters)
		in.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-moved:
		case <-after:
			t.Fatalf("%s did not get %s; %d webhooks came", path, what, n)
		}
	}
}

// letters waits for n requests to a path and gives them.
func (in *inbox) await(t *testing.T, path string, n int) []letter {
	t.Helper()
	in.wait(t, path, fmt.Sprintf("%d webhooks", n), func(b *box) bool { return len(b.letters) >= n })
	var out []letter
	in.look(path, func(b *box) { out = append(out, b.letters...) })
	return out
}
