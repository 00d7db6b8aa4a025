package app

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/relay/elastic"
)

// An elasticTail copies to Elasticsearch what grows in the store: the findings, or
// the audit log. It begins at the beginning, and stores how far it has come when
// Elasticsearch has what lies before: nothing is lost however long that is down,
// and nobody who writes waits for it. One node of several does it.
type elasticTail struct {
	endpoint *hub.Endpoint
	stream   string
	sink     *elastic.Sink
	voice    *elasticVoice
	log      *slog.Logger
	st       *store.Store
	cluster  *cluster
	// read adds to w what there is from w.next on, until it is full.
	read func(r *store.Reader, w *tailWindow) error
	// publish stores a dead letter.
	publish func(tx *store.Tx, m *message.Message) error
}

// tailChunk is how many rows are read at a time.
const tailChunk = 1000

// A tailWindow is what is written at a time.
type tailWindow struct {
	docs  []elastic.Doc
	dead  []elastic.DeadLetter
	bytes int
	next  int64 // where the window after it begins
	full  bool
}

// add takes a document and tells whether there is room for another.
func (w *tailWindow) add(d elastic.Doc, next int64) bool {
	w.docs, w.bytes, w.next = append(w.docs, d), w.bytes+len(d.Body), next
	w.full = w.bytes >= elastic.FlushBytes || len(w.docs) >= tailChunk
	return !w.full
}

// bury takes what no document can be made of.
func (w *tailWindow) bury(id string, doc []byte, err error, next int64) bool {
	w.dead = append(w.dead, elastic.DeadLetter{ID: id, Type: "unreadable", Reason: err.Error(), Doc: doc})
	w.next = next
	return true
}

// name is that of its progress and of its lease.
func (t *elasticTail) name() string { return "elastic/" + t.endpoint.Name + "/" + t.stream }

// run copies until ctx ends.
func (t *elasticTail) run(ctx context.Context) {
	t.cluster.once(ctx, t.name(), func(ctx context.Context) {
		for ctx.Err() == nil {
			wait, err := t.step(ctx)
			if err != nil && ctx.Err() == nil {
				wait = max(retryAfterOf(err), elastic.FlushAfter)
				if hub.KindOf(err) != hub.Transient { // the sink has told of its own
					t.log.WarnContext(ctx, "copying to elasticsearch failed; trying again", "error", err)
				}
			}
			if wait > 0 && !rest(ctx, wait) {
				return
			}
		}
	})
}

// step writes one window and tells how long to wait for the next one to fill.
func (t *elasticTail) step(ctx context.Context) (time.Duration, error) {
	var w tailWindow
	begin := int64(0)
	err := t.st.View(ctx, func(r *store.Reader) (err error) {
		if begin, err = r.Progress(t.endpoint.Tenant, t.name()); err == nil {
			w = tailWindow{next: begin}
			err = t.read(r, &w)
		}
		return err
	})
	if err != nil || w.next == begin {
		return elastic.FlushAfter, err
	}
	res, err := t.sink.Write(ctx, w.docs)
	t.voice.say(ctx, t.stream, t.sink.State())
	if err != nil {
		return 0, err
	}
	w.dead = append(w.dead, res.Dead...)
	if err := t.settle(ctx, &w); err != nil || w.full {
		return 0, err
	}
	return elastic.FlushAfter, nil
}

// settle stores that a window is written, and its dead letters with it.
func (t *elasticTail) settle(ctx context.Context, w *tailWindow) error {
	err := t.st.Do(ctx, func(tx *store.Tx) error {
		if err := t.cluster.fence(tx, t.name()); err != nil {
			return err
		}
		for i := range w.dead {
			if err := t.publish(tx, t.letter(&w.dead[i])); err != nil {
				return err
			}
		}
		return tx.PutProgress(t.endpoint.Tenant, t.name(), w.next, tx.Now())
	})
	for i := range w.dead {
		if err == nil {
			t.log.ErrorContext(ctx, "document is a dead letter now", "id", w.dead[i].ID, "reason", refusal(&w.dead[i]))
		}
	}
	return err
}

// letter makes a dead letter in the form in which the bus has its own.
func (t *elasticTail) letter(d *elastic.DeadLetter) *message.Message {
	m := bus.NewMessage(ident.New(hub.PrefixEvent), string(t.endpoint.Tenant), d.ID, d.Doc)
	m.Metadata.Set(bus.DeadReason, refusal(d))
	m.Metadata.Set(bus.DeadStage, t.name())
	m.Metadata.Set(bus.DeadAttempts, strconv.Itoa(1))
	m.Metadata.Set(bus.DeadTopic, t.stream)
	m.Metadata.Set(bus.DeadPosition, d.ID)
	return m
}

func (t *elasticTail) findings(r *store.Reader, w *tailWindow) error {
	return r.FindingsFrom(t.endpoint.Tenant, w.next, tailChunk, func(row store.FindingRow) bool {
		f := new(hub.Finding)
		if err := json.Unmarshal(row.Doc, f); err != nil {
			return w.bury(string(row.Triage.Finding), row.Doc, fmt.Errorf("stored finding: %w", err), row.N+1)
		}
		return w.add(t.sink.Mapping().Finding(f, row.Triage), row.N+1)
	})
}

// audit reads entries with their hashes. One that was tampered with goes out as a
// dead letter: what is wrong with the log `tocsin audit verify` tells.
func (t *elasticTail) audit(r *store.Reader, w *tailWindow) error {
	return r.AuditEntries(t.endpoint.Tenant, w.next, w.next+tailChunk, func(s hub.SealedEntry) bool {
		e, err := audit.Open(s)
		if err != nil {
			return w.bury(strconv.FormatInt(s.Sequence, 10), s.Bytes, err, s.Sequence+1)
		}
		return w.add(t.sink.Mapping().Audit(&e), s.Sequence+1)
	})
}
