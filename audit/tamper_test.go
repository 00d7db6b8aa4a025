package audit

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/test/report"
)

// A want is what a verification must find.
type want struct {
	verdict Verdict
	kinds   []FaultKind // one of them; nil for any
	seq     int64       // the sequence named, or
	within  bool        // that the range named holds it
}

// An attack changes a log and says what must be found, without and with the
// checkpoints kept outside.
type attack struct {
	name string
	do   func(t testing.TB, r *rand.Rand, l *memLog) (alone, anchored want)
}

func same(w want) (want, want) { return w, w }

func tampered(seq int, kinds ...FaultKind) (want, want) {
	return same(want{verdict: Tampered, kinds: kinds, seq: int64(seq)})
}

func rewritten(seq int) (want, want) {
	return same(want{verdict: Tampered, kinds: []FaultKind{CheckpointMismatch}, seq: int64(seq), within: true})
}

func change(e *hub.AuditEntry) { e.UserID = "usr_mallory" }

func renumber(rows []hub.SealedEntry) {
	for i := range rows {
		rows[i].Sequence = int64(i)
	}
}

// covered gives the size of the newest outside checkpoint.
func anchoredSize(l *memLog) int { return len(l.outside) * outsideEvery }

func attacks() []attack {
	return []attack{
		{"edit body", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			b := bytes.Clone(l.rows[k].Bytes)
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			l.rows[k].Bytes = b
			return tampered(k, Edited)
		}},
		{"edit hash", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			l.rows[k].Hash[r.IntN(32)] ^= 1 << r.IntN(8)
			if k == len(l.rows)-1 {
				return tampered(k, Edited)
			}
			return tampered(k, HashMismatch)
		}},
		{"edit body and hash", func(t testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			l.rewrite(t, k, false, change)
			if k == len(l.rows)-1 {
				return rewritten(k)
			}
			return tampered(k, Edited)
		}},
		{"edit and rewrite all later", func(t testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			l.rewrite(t, k, true, change)
			return rewritten(k)
		}},
		{"no JSON, right hash", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			b := bytes.Replace(l.rows[k].Bytes, []byte(`"id":`), []byte(`"id": `), 1)
			l.rows[k].Bytes, l.rows[k].Hash = b, Hash(b)
			return tampered(k, NotCanonical)
		}},
		{"delete in the middle", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows) - 10)
			l.rows = slices.Delete(l.rows, k, k+1+r.IntN(9))
			if r.IntN(2) == 0 {
				renumber(l.rows)
			}
			return tampered(k, Deleted)
		}},
		{"delete and rewrite all later", func(t testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows) - 1)
			n := len(l.rows)
			l.rows = slices.Delete(l.rows, k, k+1)
			renumber(l.rows)
			l.rewrite(t, k, true, func(*hub.AuditEntry) {})
			if k >= n-n%noteEvery { // only the head knows
				return tampered(n-1, Truncated)
			}
			return rewritten(k)
		}},
		{"truncate", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			l.rows = l.rows[:k]
			return tampered(k, Truncated)
		}},
		{"roll back to a checkpoint", func(t testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := noteEvery * (1 + r.IntN(len(l.rows)/noteEvery-1))
			l.rows = l.rows[:k]
			l.resign(t, testKey(1)) // the same bytes as those that were there
			if k >= anchoredSize(l) {
				return same(want{verdict: Intact})
			}
			return want{verdict: Intact}, want{verdict: Uncovered, kinds: []FaultKind{Older}, seq: int64(k)}
		}},
		{"swap two", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			a, b := r.IntN(len(l.rows)), r.IntN(len(l.rows)-1)
			if b >= a {
				b++
			}
			l.rows[a], l.rows[b] = l.rows[b], l.rows[a]
			renumber(l.rows)
			return tampered(min(a, b), Reordered)
		}},
		{"move one", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			a, b := r.IntN(len(l.rows)), r.IntN(len(l.rows)-1)
			if b >= a {
				b++
			}
			row := l.rows[a]
			l.rows = slices.Insert(slices.Delete(l.rows, a, a+1), b, row)
			renumber(l.rows)
			return tampered(min(a, b), Reordered)
		}},
		{"change stored numbers", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			for i := k; i < len(l.rows); i++ {
				l.rows[i].Sequence++
			}
			return tampered(k, Reordered)
		}},
		{"repeat one", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			from, k := r.IntN(len(l.rows)), r.IntN(len(l.rows))
			l.rows = slices.Insert(l.rows, k, l.rows[from])
			renumber(l.rows)
			if from == k-1 {
				k-- // which of two equals was there first nobody can say
			}
			return tampered(k, Inserted)
		}},
		{"insert a forged one", func(t testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			l.rows = slices.Insert(l.rows, k, l.rows[k])
			l.rewrite(t, k, false, change)
			renumber(l.rows)
			return tampered(k, Inserted)
		}},
		{"insert and rewrite all later", func(t testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			l.rows = slices.Insert(l.rows, k, l.rows[k])
			l.rewrite(t, k, true, change)
			return rewritten(k)
		}},
		{"append a forged one", func(t testing.TB, _ *rand.Rand, l *memLog) (want, want) {
			k := len(l.rows)
			l.rows = append(l.rows, l.rows[k-1])
			l.rewrite(t, k, false, change)
			return same(want{verdict: Uncovered, kinds: []FaultKind{UncoveredTail}, seq: int64(k)})
		}},
		{"rewrite all without the key", func(t testing.TB, _ *rand.Rand, l *memLog) (want, want) {
			l.rewrite(t, 0, true, change)
			l.resign(t, testKey(9))
			alone, _ := tampered(-1, BadSignature)
			_, anchored := rewritten(0)
			return alone, anchored
		}},
		{"rewrite with the key", func(t testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k := r.IntN(len(l.rows))
			l.rewrite(t, k, true, change)
			l.resign(t, testKey(1))
			if k >= anchoredSize(l) {
				return same(want{verdict: Intact})
			}
			_, w := rewritten(k)
			return want{verdict: Intact}, w
		}},
		{"roll back and go on", func(t testing.TB, r *rand.Rand, l *memLog) (want, want) {
			k, n := r.IntN(len(l.rows)), len(l.rows)
			l.rows = l.rows[:k]
			l.resign(t, testKey(1))
			if k == 0 {
				l.head = hub.AuditHead{Tenant: "default", Log: l.head.Log}
			}
			batch := make([]hub.AuditEntry, n-k)
			for i := range batch {
				batch[i] = plausible(r, i)
			}
			l.seal(t, testSealer(testKey(1)), batch)
			if k >= anchoredSize(l) {
				return same(want{verdict: Intact})
			}
			_, w := rewritten(k)
			return want{verdict: Intact}, w
		}},
		{"change the head", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			switch r.IntN(4) {
			case 0:
				l.head.Last[3] ^= 1
			case 1:
				l.head.Frontier = slices.Clone(l.head.Frontier)
				l.head.Frontier[r.IntN(len(l.head.Frontier))][4] ^= 1
			case 2:
				l.head.Size -= 1 + r.Int64N(100)
			case 3:
				l.head.Time = 5
			}
			return tampered(-1, BadHead)
		}},
		{"change a checkpoint", func(_ testing.TB, r *rand.Rand, l *memLog) (want, want) {
			b := bytes.Clone(l.head.Note)
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			l.head.Note = b
			return tampered(-1, BadSignature)
		}},
	}
}

// Every kind of tampering is found, and what is named is what was done, in every
// one of many trials.
func TestTamperMatrix(t *testing.T) {
	trials := 200
	if testing.Short() {
		trials = 24
	}
	key := testKey(1)
	large := makeLog(t, testSealer(key), rand.New(rand.NewPCG(11, 12)), 4000)
	small := makeLog(t, testSealer(key), rand.New(rand.NewPCG(11, 13)), 1100) // for most trials, to save time
	for i, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(13, uint64(i)))
			for trial := range trials {
				whole := small
				if trial%8 < 2 {
					whole = large
				}
				l := whole.clone()
				alone, anchored := a.do(t, r, l)
				opts := Options{Keys: keysOf(key)}
				if trial%2 == 1 {
					alone = anchored
					opts.Checkpoints = whole.outside
				}
				rep := Verify(t.Context(), l, opts)
				alone.check(t, trial, &rep)
			}
		})
	}
}

func (w *want) check(t *testing.T, trial int, rep *Report) {
	t.Helper()
	if rep.Verdict != w.verdict || (rep.Fault != nil) != (w.kinds != nil) {
		t.Fatalf("trial %d: got %s, want %s", trial, rep, w.verdict)
	}
	f := rep.Fault
	if f == nil {
		return
	}
	if !slices.Contains(w.kinds, f.Kind) {
		t.Fatalf("trial %d: got %s, want %v at %d", trial, rep, w.kinds, w.seq)
	}
	if ok := f.Sequence == w.seq; !w.within && !ok {
		t.Fatalf("trial %d: got %s, want sequence %d", trial, rep, w.seq)
	}
	if w.within && (w.seq < f.Sequence || w.seq >= f.Sequence+f.Count) {
		t.Fatalf("trial %d: got %s with %d entries, want one that holds %d", trial, rep, f.Count, w.seq)
	}
}

// A log to which nothing was done raises no alarm, whatever its size, and however
// it was verified before.
func TestCleanLogsRaiseNoAlarm(t *testing.T) {
	key, r := testKey(1), rand.New(rand.NewPCG(15, 16))
	for size := range 140 {
		l := makeLog(t, testSealer(key), r, size)
		rep := Verify(t.Context(), l, Options{Keys: keysOf(key), Checkpoints: l.outside})
		if rep.Verdict != Intact || rep.Entries != int64(size) || rep.Covered != int64(size) || rep.ExitCode() != 0 {
			t.Fatalf("size %d: %s, covered %d", size, &rep, rep.Covered)
		}
		if err := CheckHead(l.head, key.Public()); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

func TestVerifyGoesOnFromAnEarlierEnd(t *testing.T) {
	key, r := testKey(1), rand.New(rand.NewPCG(17, 18))
	s := testSealer(key)
	l := makeLog(t, s, r, 300)
	first := Verify(t.Context(), l, Options{Keys: keysOf(key)})
	for range 5 {
		l.seal(t, s, []hub.AuditEntry{plausible(r, 1), plausible(r, 2)})
	}
	opts := Options{Keys: keysOf(key), From: first.Head}
	if rep := Verify(t.Context(), l, opts); rep.Verdict != Intact || rep.Entries != 310 {
		t.Fatalf("got %s", &rep)
	}
	l.rewrite(t, 305, true, change)
	if rep := Verify(t.Context(), l, opts); rep.Verdict != Tampered || rep.Fault.Sequence > 305 || rep.Fault.Sequence < 300 {
		t.Errorf("got %s, want a fault in 300 to 305", &rep)
	}
	if rep := Verify(t.Context(), l, Options{Keys: keysOf(key), From: first.Head, Log: "tocsin/other/default/1"}); rep.Verdict == Intact {
		t.Errorf("another log was wanted: %s", &rep)
	}
}

// Whichever bit of a stored entry or of its hash is turned, the verification says
// in which entry.
func TestEveryBitIsGuarded(t *testing.T) {
	rep := report.Of(t, 10)
	key := testKey(1)
	whole := makeLog(t, testSealer(key), rand.New(rand.NewPCG(19, 20)), 24)
	step, turned, last := report.Size(23, 1), 0, len(whole.rows)-1
	check := func(k int, what string, kinds ...FaultKind) {
		turned++
		w := want{verdict: Tampered, kinds: kinds, seq: int64(k)}
		l := whole.clone()
		rep := Verify(t.Context(), l, Options{Keys: keysOf(key)})
		w.check(t, turned, &rep)
		if t.Failed() {
			t.Fatalf("%s of entry %d", what, k)
		}
	}
	for k := range whole.rows {
		row := &whole.rows[k]
		row.Bytes = bytes.Clone(row.Bytes)
		for bit := 0; bit < 8*len(row.Bytes); bit += step {
			row.Bytes[bit/8] ^= 1 << (bit % 8)
			check(k, "a bit", Edited)
			row.Bytes[bit/8] ^= 1 << (bit % 8)
		}
		for bit := 0; bit < 8*len(row.Hash); bit += step {
			row.Hash[bit/8] ^= 1 << (bit % 8)
			if k == last {
				check(k, "a bit of the hash", Edited)
			} else {
				check(k, "a bit of the hash", HashMismatch)
			}
			row.Hash[bit/8] ^= 1 << (bit % 8)
		}
	}
	rep.Figure("entries", len(whole.rows))
	rep.Figure("bits_turned", turned)
}
