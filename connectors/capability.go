package connectors

import (
	"context"
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// A Puller is a source that is asked for what is new.
type Puller interface {
	// Pull asks for everything after cursor and hands it to emit page by page.
	// A nil cursor is the first pull ever. Pull returns nil when there is
	// nothing more for now.
	//
	// emit makes a page durable together with next, in one transaction, before
	// it returns; only then is the next page asked for. After an error, a
	// crash or a restart, Pull is called again with the last cursor that was
	// made durable, so next must say all there is to know, and findings must
	// not depend on anything else. When emit fails, Pull returns its error.
	//
	// Pull does not wait: what is throttled or down is returned as a
	// [hub.Error] of kind RateLimited or Transient, with RetryAfter where the
	// far side gave one, after handing its progress to emit. The loop waits.
	// Calls for one source do not overlap.
	Pull(ctx context.Context, cursor []byte, emit Emit) error
}

// Emit makes one page and the cursor behind it durable. The page may be empty;
// page and next belong to the caller again when it returns.
type Emit func(page Page, next []byte) error

// A Page is a part of what a source tells.
type Page struct {
	Findings []hub.Finding
	Nodes    []hub.NodeReport // of the inventory
	Edges    []hub.EdgeReport
	Rejects  []Reject // kept for people to look at
}

// Refuse rejects an item of a list that cannot be used. The loop keeps and counts it
// once, however often the list has it.
func (p *Page) Refuse(index int, item []byte, why string) {
	p.Rejects = append(p.Rejects, Reject{Index: index, Error: why, Item: item})
}

// A Describer shows a stored cursor to people; others are shown by their size.
type Describer interface {
	Describe(cursor []byte) string
}

// A Receiver is a source that sends to us, at POST /ingest/{name}.
type Receiver interface {
	// Receive turns a request into findings. It checks the signature in
	// constant time before it parses anything; a wrong one is an error of kind
	// Unauthorized. It changes nothing, so the same request may come twice.
	//
	// Items that cannot be used are in the batch's Rejects; the error is for
	// a request of which nothing can be used. Calls may overlap.
	Receive(ctx context.Context, r Request) (Batch, error)
}

// A Request is what came in for a [Receiver] or a [Server]. Body stays valid
// after the call.
type Request struct {
	Method string     // of a [Server]; a Receiver gets POST only
	Path   string     // after /ingest/{name} or the server's root, for sources that use more than one
	Query  url.Values // nil if there is none
	Header Header
	Body   []byte
}

// A Header gives the first value of a header, "" if there is none. The name's
// case does not matter. [net/http.Header] is one.
type Header interface{ Get(name string) string }

// A Batch is what a request held.
type Batch struct {
	Findings []hub.Finding
	Rejects  []Reject
}

// A Reject is one item of a request or a page that could not be used, and why.
type Reject struct {
	Index int    `json:"index"` // from 0
	Error string `json:"error"` // one sentence for the sender
	Item  []byte `json:"-"`     // as it came; nil if it is not kept
}

// Accept makes a batch durable before it returns. After an error nothing of the
// batch was taken; one of kind Transient may be offered again. Calls may
// overlap.
type Accept func(ctx context.Context, b Batch) (Receipt, error)

// A Listener is a source that takes messages on sockets of its own, or over a
// connection that it opens to its vendor. One that pulls too asks for a pull by
// [Settings.Wake] when it listens anew, for what it did not hear.
type Listener interface {
	// Listen opens the sockets. It does not wait: an error says why one cannot
	// be opened, and Listen is called again later, later each time.
	//
	// serve hands what comes in to accept until ctx ends. It then closes the
	// sockets, waits for all that it started and returns nil. Any other end is
	// an error, after which Listen is called again. Calls do not overlap.
	Listen(ctx context.Context) (serve func(ctx context.Context, accept Accept) error, err error)
}

// A Server is a source whose senders know only their vendor's own HTTP paths
// and answers, such as Splunk's /services/collector.
type Server interface {
	// Root is the path that the vendor's paths are at or below. It does not
	// change, and the API has a route for it.
	Root() string

	// Claims says, in constant time, whether the request's credential is this
	// source's. If no source's is, the first one with the root refuses it.
	Claims(r Request) bool

	// Serve checks the request's credential and answers it, errors included.
	// Calls may overlap.
	Serve(ctx context.Context, r Request, accept Accept) Response
}

// A Response is what a [Server] answers.
type Response struct {
	Status     int
	Type       string // of the content
	Body       []byte
	RetryAfter time.Duration // 0: no such header
}

// An Actor is a source system that can do something for playbooks.
type Actor interface {
	// Actions lists what it can do. The list does not change.
	Actions() []ActionSpec

	// Do performs one action. key is the idempotency key: it was recorded
	// before the call, and a repeat has the same key and params. Do hands it
	// to the far side where that takes one. params are checked against the
	// spec already.
	//
	// The caller owns retries: an error of kind Transient or RateLimited is
	// tried again, any other is final. Calls may overlap.
	Do(ctx context.Context, action, key string, params jsontext.Value) (result jsontext.Value, err error)
}

// A Mirror is an [Actor] that can be told what becomes of alerts here.
type Mirror interface {
	// Mirror gives the action, and its params, that tells the source system of
	// a change to the finding with this source id: acknowledged, resolved,
	// dismissed or reopened. The action is "" if the source system has no call
	// for it. It does no I/O.
	//
	// The caller leaves out changes that came from this source. What the action
	// changes there, the source does not tell as news.
	Mirror(change hub.EventType, sourceID string) (action string, params jsontext.Value)
}

// A Located tells where a source takes what is sent to it, or where it has
// connected to, such as udp://0.0.0.0:514: as it is now, without I/O.
type Located interface {
	Places() []string
}

// A Tester can find out whether the source system is there and takes our
// credential, changing nothing.
type Tester interface {
	Test(ctx context.Context) error
}

// A Reporter tells what the source system last said of itself, as a JSON
// object; nil if nothing yet. It does no I/O.
type Reporter interface {
	Report() jsontext.Value
}
