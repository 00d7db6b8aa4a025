package elastic

import (
	"bytes"
	"strconv"

	"github.com/tocsin/tocsin/hub"
)

// A DeadLetter is a document that Elasticsearch will never take as it is, or
// an event that no document can be made of.
type DeadLetter struct {
	EventID hub.EventID `json:"event_id,omitempty"`
	Index   string      `json:"index,omitempty"`
	ID      string      `json:"id,omitempty"`
	Status  int         `json:"status,omitempty"` // as Elasticsearch gave it for the document
	Type    string      `json:"type"`
	Reason  string      `json:"reason"`
	Doc     []byte      `json:"doc"`
}

// A Result says what became of the documents of one [Sink.Write]. Those that
// are neither done nor dead are open: write them again.
type Result struct {
	Done []bool       // by the position of the document
	Dead []DeadLetter // in the order in which Elasticsearch refused them
	Open int
}

// A lineState is what is known of one document.
type lineState uint8

const (
	lineOpen    lineState = iota
	lineUnknown           // sent, but the answer was lost: it may be there
	lineDone
	lineDead
)

// A ledger has one line a document of a window. A line leaves the open ones
// only on evidence: Elasticsearch's answer for that very document.
type ledger struct {
	docs  []Doc
	lines []lineState
	open  int
	done  int
	dead  []DeadLetter
	// last is why documents were refused for now in the current round.
	last item
}

// newLedger opens a ledger. If unsure, an earlier process may have written the
// documents.
func newLedger(docs []Doc, unsure bool) *ledger {
	l := &ledger{docs: docs, lines: make([]lineState, len(docs)), open: len(docs)}
	if unsure {
		for i := range l.lines {
			l.lines[i] = lineUnknown
		}
	}
	return l
}

func (l *ledger) finish(i int) {
	l.lines[i] = lineDone
	l.open--
	l.done++
}

func (l *ledger) bury(i int, it item) {
	l.lines[i] = lineDead
	l.open--
	d := l.docs[i]
	l.dead = append(l.dead, DeadLetter{
		EventID: d.Event, Index: d.Index, ID: d.ID,
		Status: it.Status, Type: it.Error.Type, Reason: it.Error.Reason, Doc: d.Body,
	})
}

// doubt marks lines whose answer was lost.
func (l *ledger) doubt(lines []int) {
	for _, i := range lines {
		l.lines[i] = lineUnknown
	}
}

func (l *ledger) result() Result {
	r := Result{Done: make([]bool, len(l.docs)), Dead: l.dead, Open: l.open}
	for i, s := range l.lines {
		r.Done[i] = s == lineDone
	}
	return r
}

// pending gives the next lines from position from on that fit into limit
// bytes, at least one, and where to go on; none at the end.
func (l *ledger) pending(from int, limit int64) (lines []int, next int) {
	var size int64
	for i := from; i < len(l.docs); i++ {
		if l.lines[i] > lineUnknown {
			continue
		}
		n := l.docs[i].size()
		if len(lines) > 0 && size+n > limit {
			return lines, i
		}
		lines, size = append(lines, i), size+n
	}
	return lines, len(l.docs)
}

// size is at least what a document takes in a bulk body.
func (d *Doc) size() int64 { return int64(len(d.Body) + len(d.Index) + len(d.ID) + 128) }

// body writes the lines as a bulk body. stamp goes in front of each document's
// members; it is empty where a pipeline stamps.
func (l *ledger) body(lines []int, stamp []byte) []byte {
	var size int64
	for _, i := range lines {
		size += l.docs[i].size() + int64(len(stamp))
	}
	b := make([]byte, 0, size)
	for _, i := range lines {
		b = l.docs[i].action(b)
		b = append(b, '\n')
		doc := oneLine(l.docs[i].Body)
		if len(stamp) > 0 && len(doc) > 2 {
			b = append(append(b, '{'), stamp...)
			doc = doc[1:]
		}
		b = append(b, doc...)
		b = append(b, '\n')
	}
	return b
}

// action appends the line that says what to do with the document. A data
// stream must exist or be made by a template of ours: without
// require_data_stream a missing template would give an ordinary index.
func (d *Doc) action(b []byte) []byte {
	w := builder{b: b}
	if d.Version == 0 {
		w.b = append(w.b, `{"create":{`...)
		w.str("_index", d.Index)
		w.str("_id", d.ID)
		w.b = append(w.b, `,"require_data_stream":true}}`...)
		return w.b
	}
	w.b = append(w.b, `{"index":{`...)
	w.str("_index", d.Index)
	w.str("_id", d.ID)
	w.b = append(w.b, `,"version_type":"external","version":`...)
	w.b = strconv.AppendInt(w.b, d.Version, 10)
	w.b = append(w.b, '}', '}')
	return w.b
}

// oneLine gives body without line feeds, which in JSON can only stand between
// tokens, but would end the document in a bulk body.
func oneLine(body []byte) []byte {
	if bytes.IndexByte(body, '\n') < 0 {
		return body
	}
	return bytes.ReplaceAll(body, []byte{'\n'}, []byte{' '})
}
