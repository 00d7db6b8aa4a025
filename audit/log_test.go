package audit

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A memLog is a log in memory, as a store would hold it.
type memLog struct {
	head    hub.AuditHead
	notes   [][]byte
	rows    []hub.SealedEntry
	outside [][]byte // checkpoints somebody else keeps
}

func (l *memLog) Head(context.Context) (hub.AuditHead, error) { return l.head, nil }

func (l *memLog) Notes(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, n := range l.notes {
			if !yield(n, nil) {
				return
			}
		}
	}
}

func (l *memLog) Entries(_ context.Context, from int64) iter.Seq2[hub.SealedEntry, error] {
	return func(yield func(hub.SealedEntry, error) bool) {
		for _, e := range l.rows {
			if e.Sequence >= from && !yield(e, nil) {
				return
			}
		}
	}
}

// clone gives a log whose rows may be replaced; their bytes are shared.
func (l *memLog) clone() *memLog {
	return &memLog{head: l.head, notes: slices.Clone(l.notes), rows: slices.Clone(l.rows), outside: l.outside}
}

func testKey(seed byte) *Key {
	return NewKey(ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)))
}

// testSealer has a clock that moves a millisecond a call.
func testSealer(key *Key) *Sealer {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return NewSealer(key, "test", func() time.Time { now = now.Add(time.Millisecond); return now })
}

const (
	noteEvery    = 128
	outsideEvery = 512
)

// makeLog seals n entries in transactions of many sizes.
func makeLog(t testing.TB, s *Sealer, r *rand.Rand, n int) *memLog {
	t.Helper()
	l := &memLog{head: hub.AuditHead{Tenant: "default"}}
	for len(l.rows) < n {
		batch := make([]hub.AuditEntry, min(1+r.IntN(40), n-len(l.rows), noteEvery-len(l.rows)%noteEvery))
		for i := range batch {
			batch[i] = plausible(r, len(l.rows)+i)
		}
		l.seal(t, s, batch)
	}
	return l
}

func (l *memLog) seal(t testing.TB, s *Sealer, batch []hub.AuditEntry) {
	t.Helper()
	sealed, next, err := s.Seal(l.head, batch)
	if err != nil {
		t.Fatal(err)
	}
	l.rows, l.head = append(l.rows, sealed...), next
	if next.Size%noteEvery == 0 {
		l.notes = append(l.notes, next.Note)
	}
	if next.Size%outsideEvery == 0 {
		l.outside = append(l.outside, next.Note)
	}
}

func plausible(r *rand.Rand, i int) hub.AuditEntry {
	e := hub.Audited(hub.Principal{Tenant: "default", Type: hub.ActorUser, ID: fmt.Sprintf("usr_%d", r.IntN(9)), Email: "ü@example.org", IP: "192.0.2.7"},
		[]string{"alert.create", "alert.update", "webhook.attempt", "auth.login"}[r.IntN(4)], "alert", fmt.Sprintf("alt_%d", i))
	e.ID = fmt.Sprintf("aud_%08d", i)
	e.Details = new(hub.Details).Int("n", int64(r.IntN(1000))).Str("text", randomText(r, 6)).Value()
	return e
}

// rewrite changes what row k says and gives it the hash of what it now says; with
// all, the rows behind it are chained anew.
func (l *memLog) rewrite(t testing.TB, k int, all bool, change func(*hub.AuditEntry)) {
	t.Helper()
	var prev [32]byte
	if k > 0 {
		prev = l.rows[k-1].Hash
	}
	for i := k; i < len(l.rows) && (i == k || all); i++ {
		var p parsed
		if err := p.parse(l.rows[i].Bytes); err != nil {
			t.Fatal(err)
		}
		e, err := Decode(l.rows[i].Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if i == k {
			change(&e)
		}
		enc := newEncoder(unquote(p.field[fLog]), string(e.Tenant), p.micros)
		b := enc.entry(nil, int64(i), &prev, &e)
		prev = Hash(b)
		l.rows[i] = hub.SealedEntry{Sequence: int64(i), Hash: prev, Bytes: b}
	}
}

// resign makes head and checkpoints anew for the rows that stand there.
func (l *memLog) resign(t testing.TB, key *Key) {
	t.Helper()
	h := hub.AuditHead{Log: l.head.Log, Tenant: l.head.Tenant, Time: l.head.Time}
	l.notes = nil
	for i := range l.rows {
		h.Frontier = grow(h.Frontier, h.Size, l.rows[i].Hash)
		h.Size++
		h.Last = l.rows[i].Hash
		if h.Size%noteEvery == 0 || i == len(l.rows)-1 {
			var err error
			if h.Note, err = key.signCheckpoint(Checkpoint{h.Log, h.Size, root(h.Frontier)}); err != nil {
				t.Fatal(err)
			}
			l.notes = append(l.notes, h.Note)
		}
	}
	l.head = h
}
