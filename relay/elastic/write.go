package elastic

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// unsureWindows is how many windows after a start may have been written before it:
// callers store their progress a little after a window is done.
const unsureWindows = 4

const (
	firstWait = 100 * time.Millisecond // before the first repetition
	longWait  = 10 * time.Second       // and at most
	haltWait  = 30 * time.Second       // before a paused sink is worth another try
	leastBody = 64 << 10               // a 413 lowers the body limit no further
	answerCap = 32 << 20               // a bulk answer is some 100 bytes a document
)

// Write writes documents and returns when each is done or dead, or with an
// error of kind [hub.Transient] when some are still open. Documents refused for
// now are tried again, they alone, until nothing has moved for the settings'
// patience or ctx ends. Writing the same documents again is harmless.
func (k *Sink) Write(ctx context.Context, docs []Doc) (Result, error) {
	return k.put(ctx, docs, false)
}

func (k *Sink) put(ctx context.Context, docs []Doc, again bool) (Result, error) {
	l := newLedger(docs, again || k.settled.Load() < unsureWindows)
	k.recall(l)
	f := k.write(ctx, l)
	k.remember(l)
	k.note(ctx, l, f)
	if f != nil {
		return l.result(), f.forCaller()
	}
	if len(docs) > 0 {
		k.settled.Add(1)
	}
	return l.result(), nil
}

// remember keeps which documents may be written although a Write gave them back:
// the next one looks for them before it sends them again.
func (k *Sink) remember(l *ledger) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, s := range l.lines {
		switch {
		case s == lineUnknown && l.docs[i].Version == 0: // others are told apart by their version
			k.doubtful[l.docs[i].key()] = struct{}{}
		case s > lineUnknown && len(k.doubtful) > 0:
			delete(k.doubtful, l.docs[i].key())
		}
	}
}

// recall marks the documents of l that an earlier Write left in doubt.
func (k *Sink) recall(l *ledger) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range l.docs {
		if len(k.doubtful) == 0 {
			return
		}
		if _, doubt := k.doubtful[l.docs[i].key()]; doubt {
			l.lines[i] = lineUnknown
		}
	}
}

// key names a document among all.
func (d *Doc) key() string { return d.Index + "/" + d.ID }

func (k *Sink) write(ctx context.Context, l *ledger) *fault {
	p := patience{limit: k.settings.Patience}
	for l.open > 0 {
		before := l.open
		f := k.round(ctx, l)
		if l.open == 0 && f == nil || f != nil && f.halt {
			return f
		}
		if f == nil {
			f = &fault{item: l.last}
		}
		if g := p.wait(ctx, f, l.open < before); g != nil {
			return g
		}
		k.retried.Add(int64(l.open))
	}
	return nil
}

// round sends every open document once. It ends early at a fault, because the
// next request would meet it too.
func (k *Sink) round(ctx context.Context, l *ledger) *fault {
	if f := k.ready(ctx); f != nil {
		return f
	}
	for from := 0; ; {
		var lines []int
		if lines, from = l.pending(from, k.limit.Load()); len(lines) == 0 {
			return nil
		}
		if f := k.search(ctx, l, lines); f != nil {
			return f
		}
		if f := k.send(ctx, l, lines); f != nil {
			return f
		}
	}
}

// send makes one request for the lines that are still open, or several if they
// are too much for one.
func (k *Sink) send(ctx context.Context, l *ledger, lines []int) *fault {
	lines = l.stillOpen(lines)
	if len(lines) == 0 {
		return nil
	}
	f := k.bulk(ctx, l, lines)
	if f == nil || !f.split {
		return f
	}
	if len(lines) == 1 {
		l.bury(lines[0], f.item)
		return nil
	}
	if f.Status == http.StatusRequestEntityTooLarge {
		k.lower(l, lines)
	}
	half := len(lines) / 2
	if f := k.send(ctx, l, lines[:half]); f != nil {
		return f
	}
	return k.send(ctx, l, lines[half:])
}

// lower remembers that a body of these lines was too large.
func (k *Sink) lower(l *ledger, lines []int) {
	var size int64
	for _, i := range lines {
		size += l.docs[i].size()
	}
	if want := max(size/2, leastBody); want < k.limit.Load() {
		k.limit.Store(want)
	}
}

func (l *ledger) stillOpen(lines []int) []int {
	open := lines[:0:0]
	for _, i := range lines {
		if l.lines[i] <= lineUnknown {
			open = append(open, i)
		}
	}
	return open
}

// bulk makes one request and enters its answers into the ledger.
func (k *Sink) bulk(ctx context.Context, l *ledger, lines []int) *fault {
	body := l.body(lines, k.stamp())
	k.bytes.Add(int64(len(body)))
	answer, f := k.call(ctx, http.MethodPost, "/_bulk?filter_path="+filterPath, "application/x-ndjson", body)
	if f != nil {
		if f.unknown {
			l.doubt(lines)
		}
		return f
	}
	items, err := l.readItems(answer, lines)
	if err != nil {
		l.doubt(lines)
		return &fault{err: err, unknown: true}
	}
	return k.enter(l, lines, items)
}

// enter puts the answers into the ledger. All are entered even if one of them
// halts the sink.
func (k *Sink) enter(l *ledger, lines []int, items []item) *fault {
	var halted *fault
	for n, it := range items {
		switch i := lines[n]; judge(it) {
		case done:
			l.finish(i)
		case dead:
			if it.FailureStore == "used" {
				it.Error = itemError{Type: "failure_store", Reason: "diverted to the failure store of the data stream, where queries do not see it; its entry under " + l.docs[i].Index + "::failures says why"}
			}
			l.bury(i, it)
		case halt:
			l.lines[i] = lineOpen
			halted = &fault{halt: true, item: it}
		case again:
			l.lines[i], l.last = lineUnknown, it
			if it.Status == http.StatusTooManyRequests { // refused before anything was done
				l.lines[i] = lineOpen
			}
		}
	}
	if halted != nil {
		k.reinstall(halted)
	}
	return halted
}

// stamp gives event.ingested for clusters without the pipeline. The dotted
// name stands beside the object event; Elasticsearch joins them.
func (k *Sink) stamp() []byte {
	if !k.settings.NoPipeline {
		return nil
	}
	return time.Now().UTC().AppendFormat([]byte(`"event.ingested":"`), `2006-01-02T15:04:05.000Z",`)
}

// call makes one request and gives the body of a 2xx answer.
func (k *Sink) call(ctx context.Context, method, path, contentType string, body []byte) ([]byte, *fault) {
	ctx, cancel := context.WithTimeout(ctx, k.settings.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return nil, &fault{err: err, halt: true}
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	k.requests.Add(1)
	res, err := k.client.Perform(req)
	if err != nil {
		return nil, transportFault(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, answerCap))
	if err != nil {
		return nil, &fault{err: err, unknown: true}
	}
	if res.StatusCode/100 != 2 {
		return nil, faultOf(res, answer)
	}
	return answer, nil
}

// transportFault judges a request without an answer. Only a failed dial proves
// that nothing was sent.
func transportFault(err error) *fault {
	f := &fault{err: err, unknown: true}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		f.unknown = false
	}
	switch hub.KindOf(err) {
	case hub.Forbidden, hub.Invalid: // the safe client refused the address
		f.halt = true
	}
	if strings.Contains(err.Error(), "the server is not Elasticsearch") {
		f.halt = true
	}
	return f
}

// patience counts how long nothing has moved.
type patience struct {
	limit  time.Duration
	since  time.Time
	rounds int
}

// wait waits before the next round, longer each time. It gives f back when
// waiting makes no more sense.
func (p *patience) wait(ctx context.Context, f *fault, moved bool) *fault {
	now := time.Now()
	if moved || p.since.IsZero() {
		p.since, p.rounds = now, 0
	}
	d := max(backoff(p.rounds), f.after)
	p.rounds++
	if now.Add(d).Sub(p.since) > p.limit {
		return f
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return &fault{err: ctx.Err(), after: f.after}
	case <-t.C:
		return nil
	}
}

// backoff doubles with each round; half of it is random, so that several
// sinks do not come back together.
func backoff(round int) time.Duration {
	d := longWait
	if round < 7 {
		d = min(longWait, firstWait<<round)
	}
	return d/2 + rand.N(d/2)
}
