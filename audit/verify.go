package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Source is a log as somebody keeps it. All three methods must show the same
// state of it, so a source in a database reads from one snapshot.
type Source interface {
	// Head gives the stored end of the log, zero if there is none.
	Head(ctx context.Context) (hub.AuditHead, error)
	// Notes gives the checkpoints kept over time, in any order; the one in the
	// head need not be among them.
	Notes(ctx context.Context) iter.Seq2[[]byte, error]
	// Entries gives the entries from number from on in the order of the store.
	// Sequence is the number that the store keeps them under, -1 if it keeps
	// none. The bytes need not live longer than the step of the loop.
	Entries(ctx context.Context, from int64) iter.Seq2[hub.SealedEntry, error]
}

// Options of a verification. The zero value checks a log against itself.
type Options struct {
	// Keys are the public keys that the log's own checkpoints may be signed with.
	Keys []ed25519.PublicKey
	// Log is the name that the log must have; "" for any.
	Log string
	// Checkpoints were kept outside the log. They are believed; where Keys are
	// given, one of them must have signed each.
	Checkpoints [][]byte
	// From goes on behind an earlier verification; it must come from where
	// nobody who can change the log can change it.
	From hub.AuditHead
	// Progress is called now and then with the number of entries looked at.
	Progress func(entries int64)
}

// progressEvery is how many entries lie between two calls of Progress.
const progressEvery = 4096

// Verify checks a log from its first entry to its last. It stops at the first
// fault, except that it reads on to tell entries that were moved from those that
// are gone.
func Verify(ctx context.Context, src Source, opts Options) Report {
	head, err := src.Head(ctx)
	if err != nil {
		return unreadable(fmt.Errorf("read the end of the log: %w", err))
	}
	r, err := newReader(opts, head, opts.Keys)
	if err != nil {
		return unreadable(err)
	}
	for signed, err := range src.Notes(ctx) {
		if err != nil {
			return unreadable(fmt.Errorf("read checkpoints: %w", err))
		}
		r.own(signed)
	}
	r.sort()
	return r.run(ctx, func(yield func(row, error) bool) {
		for e, err := range src.Entries(ctx, opts.From.Size) {
			if !yield(row{SealedEntry: e}, err) {
				return
			}
		}
	})
}

func unreadable(err error) Report { return Report{Verdict: Unreadable, Error: err.Error()} }

// A reader feeds the rows of a log to the judge and sums up.
type reader struct {
	opts    Options
	keys    []ed25519.PublicKey // for the log's own checkpoints
	head    hub.AuditHead       // as stored
	claims                      // what checkpoints say
	badNote *Fault              // the first own checkpoint that is not signed
	judge   judge
}

func newReader(opts Options, head hub.AuditHead, keys []ed25519.PublicKey) (*reader, error) {
	r := &reader{opts: opts, keys: keys, head: head}
	r.judge.start(opts.From)
	r.judge.log = firstOf(opts.Log, opts.From.Log, head.Log)
	for _, signed := range opts.Checkpoints {
		if err := r.known(signed); err != nil {
			return nil, fmt.Errorf("checkpoint that was given: %w", err)
		}
	}
	if len(head.Note) > 0 {
		r.own(head.Note)
	}
	if head.Size > 0 {
		r.addStored(head.Size)
	}
	r.sort()
	return r, nil
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// known takes a checkpoint that was kept outside.
func (r *reader) known(signed []byte) error {
	var c Checkpoint
	var err error
	if len(r.opts.Keys) > 0 {
		c, err = OpenCheckpoint(signed, r.opts.Keys...)
	} else {
		c, err = ParseCheckpoint(signed)
	}
	if err != nil {
		return err
	}
	if r.judge.log == "" {
		r.judge.log = c.Log
	}
	if c.Log != r.judge.log {
		return fmt.Errorf("it is of log %s, not of %s", c.Log, r.judge.log)
	}
	r.add(claim{size: c.Size, root: c.Root, covers: true, outside: true})
	return nil
}

// own takes a checkpoint that is stored with the log.
func (r *reader) own(signed []byte) {
	c, err := ParseCheckpoint(signed)
	covers := len(r.keys) > 0
	if err == nil && covers {
		_, err = OpenCheckpoint(signed, r.keys...)
	}
	if err == nil && r.judge.log == "" {
		r.judge.log = c.Log
	}
	if err == nil && c.Log != r.judge.log {
		err = fmt.Errorf("checkpoint is of log %s, not of %s", c.Log, r.judge.log)
	}
	switch {
	case err == nil:
		r.add(claim{size: c.Size, root: c.Root, covers: covers})
	case r.badNote == nil:
		r.badNote = &Fault{Kind: BadSignature, Sequence: -1, Detail: err.Error()}
	}
}

// run judges all rows.
func (r *reader) run(ctx context.Context, rows iter.Seq2[row, error]) Report {
	r.judge.claims = &r.claims
	seen := int64(0)
	for row, err := range rows {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return unreadable(fmt.Errorf("read entry %d: %w", r.judge.size, err))
		}
		if seen++; seen%progressEvery == 0 && r.opts.Progress != nil {
			r.opts.Progress(seen)
		}
		if !r.judge.push(row) {
			break
		}
	}
	if r.opts.Progress != nil {
		r.opts.Progress(seen)
	}
	return r.report(r.judge.finish())
}

// report sums up; fault is what the entries themselves showed.
func (r *reader) report(fault *Fault) Report {
	j := &r.judge
	if fault == nil {
		fault = r.endFault()
	}
	rep := Report{
		Verdict: Intact, Log: j.log, Entries: j.size, Covered: j.covered, Checkpoints: j.agreed,
		KeyTrusted: len(r.opts.Keys) > 0, Fault: fault,
	}
	switch {
	case fault == nil:
	case fault.Kind == UncoveredTail || fault.Kind == Older:
		rep.Verdict = Uncovered
	default:
		rep.Verdict = Tampered
		if fault.Sequence >= 0 {
			rep.Entries = min(j.size, fault.Sequence)
		}
		rep.Covered = min(j.covered, rep.Entries)
		return rep
	}
	rep.Head, rep.Root = j.head(), hexHash(root(j.frontier))
	if j.size > 0 {
		last := time.UnixMicro(j.micros).UTC()
		rep.Last = &last
	}
	return rep
}

// endFault compares the end of a log whose entries fit together with what is
// known of it.
func (r *reader) endFault() *Fault {
	size := r.judge.size
	if own := r.newest(false); own > size {
		return &Fault{
			Kind: Truncated, Sequence: size, Count: own - size,
			Detail: fmt.Sprintf("the log had %d entries and now ends after %d", own, size),
		}
	}
	if r.badNote != nil {
		return r.badNote
	}
	if err := r.checkHead(); err != nil {
		return &Fault{Kind: BadHead, Sequence: -1, Detail: err.Error()}
	}
	if known := r.newest(true); known > size {
		return &Fault{
			Kind: Older, Sequence: size, Count: known - size,
			Detail: fmt.Sprintf("a checkpoint is known of %d entries, here are %d: an older state, or one that was put back", known, size),
		}
	}
	if covered := r.judge.covered; covered < size {
		return &Fault{
			Kind: UncoveredTail, Sequence: covered, Count: size - covered,
			Detail: fmt.Sprintf("no checkpoint covers the last %d entries", size-covered),
		}
	}
	return nil
}

// checkHead compares the stored end with that of the entries.
func (r *reader) checkHead() error {
	h, j := &r.head, &r.judge
	switch {
	case h.Size == 0 || h.Size < j.size && j.covered < j.size:
		return nil // none is stored, or entries were appended, which the checkpoints show
	case h.Size != j.size:
		return fmt.Errorf("the stored end is at %d, the checkpoints and entries at %d", h.Size, j.size)
	case h.Last != j.last:
		return errors.New("the stored hash of the newest entry is not its hash")
	case len(h.Frontier) != len(j.frontier):
		return errors.New("the stored tree has another shape")
	case h.Time < j.micros:
		return errors.New("the stored time is before that of the newest entry")
	}
	for i := range h.Frontier {
		if h.Frontier[i] != j.frontier[i] {
			return errors.New("the stored tree is not that of the entries")
		}
	}
	return nil
}
