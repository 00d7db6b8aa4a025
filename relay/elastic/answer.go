package elastic

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// filterPath leaves in a bulk answer what the ledger needs.
const filterPath = "items.*._id,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store"

// An item is Elasticsearch's answer for one document.
type item struct {
	ID           string    `json:"_id"`
	Status       int       `json:"status"`
	Error        itemError `json:"error"`
	FailureStore string    `json:"failure_store"`
}

type itemError struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// readItems reads a bulk answer. It must speak of exactly the documents sent,
// in their order; otherwise it is evidence of nothing.
func (l *ledger) readItems(body []byte, lines []int) ([]item, error) {
	var answer struct {
		Items []struct {
			Create *item `json:"create"`
			Index  *item `json:"index"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("read bulk answer: %w", err)
	}
	if len(answer.Items) != len(lines) {
		return nil, fmt.Errorf("bulk answer has %d items for %d documents", len(answer.Items), len(lines))
	}
	items := make([]item, len(lines))
	for n, a := range answer.Items {
		it := a.Create
		if l.docs[lines[n]].Version != 0 {
			it = a.Index
		}
		if it == nil || it.ID != l.docs[lines[n]].ID {
			return nil, fmt.Errorf("bulk answer item %d is of another document", n)
		}
		items[n] = *it
	}
	return items, nil
}

// A verdict is what an answer means for the ledger.
type verdict uint8

const (
	again verdict = iota // refused for now, or no evidence
	done
	dead // will never be taken
	halt // somebody must mend the configuration first
)

// judge decides over one document.
func judge(it item) verdict {
	switch s := it.Status; {
	case (s == 200 || s == 201) && it.FailureStore == "used":
		return dead // diverted: no query and no rule will ever see it
	case s == 200 || s == 201:
		return done
	case s == 409 && it.Error.Type == "version_conflict_engine_exception":
		return done // it is there already, or in a newer version
	case s == 401, s == 403, s == 404:
		return halt
	case s == 400 && isConfigFault(it.Error):
		return halt
	case s == 408, s == 409, s == 429:
		return again
	case s >= 400 && s < 500:
		return dead
	}
	return again
}

// isConfigFault tells refusals that every document would meet from those that
// are about this document.
func isConfigFault(e itemError) bool {
	switch e.Type {
	case "index_closed_exception", "invalid_index_name_exception":
		return true
	case "validation_exception": // the cluster may hold no more shards
		return strings.Contains(e.Reason, "this action would add")
	case "illegal_argument_exception":
		return strings.HasPrefix(e.Reason, "pipeline with id [") ||
			strings.Contains(e.Reason, "op_type of create are allowed in data streams") ||
			strings.HasPrefix(e.Reason, "Action/metadata line")
	}
	return false
}

// A fault is why a whole request did not do its work.
type fault struct {
	halt    bool // nothing will work until somebody mends the configuration
	split   bool // the same documents may pass in smaller requests
	unknown bool // the request may have worked all the same
	after   time.Duration

	item
	err error
}

// passes reports whether the fault may be gone with the next try.
func (f *fault) passes() bool {
	return f.Status == 0 || f.Status == 408 || f.Status == 429 || f.Status >= 500
}

// String tells the fault for the log.
func (f *fault) String() string {
	if f.err != nil {
		return f.err.Error()
	}
	return fmt.Sprintf("%d %s: %s", f.Status, f.Error.Type, f.Error.Reason)
}

// faultOf reads the answer to a request that failed as a whole.
func faultOf(res *http.Response, body []byte) *fault {
	f := &fault{item: item{Status: res.StatusCode}, after: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	var answer struct {
		Error itemError `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil {
		f.Error = answer.Error
	}
	if f.Error.Type == "" {
		f.Error = itemError{Type: "http_" + strconv.Itoa(f.Status), Reason: http.StatusText(f.Status)}
	}
	switch s := f.Status; {
	case s == 429 || s == 408:
	case s >= 500:
		f.unknown = true // a proxy may have given up on a request that worked
	case s == 413 || s == 400 && !isConfigFault(f.Error):
		f.split = true
	default:
		f.halt = true
	}
	return f
}

// retryAfter reads seconds or a date; 0 if there is neither.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// advice says what somebody must do. It ends with what becomes of the messages,
// because that is the first question.
func (f *fault) advice() string {
	const queued = "; messages stay queued until then"
	switch {
	case f.Status == 401:
		return "Elasticsearch refused the credentials (401): give an API key that is valid" + queued
	case f.Status == 403:
		return "Elasticsearch says a right is missing (403): give the API key the rights listed for the elasticsearch sink, " +
			"or look for a block on the index" + queued
	case f.Status == 404 || strings.HasPrefix(f.Error.Reason, "pipeline with id ["):
		return "Elasticsearch lacks the templates or the pipeline (" + strconv.Itoa(f.Status) +
			"): run `tocsin elastic setup`, and check the URL's path" + queued
	case strings.HasPrefix(f.Error.Reason, "Action/metadata line"):
		return "this Elasticsearch is too old: require_data_stream in bulk requests needs 8.13 or newer" + queued
	case f.Status == 0:
		return "what answers is not Elasticsearch, or its address is not allowed: check the URLs" + queued
	}
	return fmt.Sprintf("Elasticsearch refuses all documents (%d %s): mend the configuration", f.Status, f.Error.Type) + queued
}

// forCaller gives the error with which a window goes back to its caller.
func (f *fault) forCaller() error {
	e := &hub.Error{Kind: hub.Transient, RetryAfter: max(f.after, time.Second), Err: errors.New(f.String()), Msg: "Elasticsearch does not take documents now"}
	if f.err != nil {
		e.Err = f.err
	}
	if f.halt {
		e.Msg = f.advice()
		e.RetryAfter = max(f.after, haltWait)
	}
	return e
}
