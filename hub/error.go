package hub

import (
	"errors"
	"time"
)

// A Kind says what sort of failure an [Error] is. It alone decides the HTTP
// status (internal/api) and whether work is tried again (relay, pipelines).
type Kind string

// Kinds of error. Contract §2 maps them to statuses.
const (
	Malformed    Kind = "malformed"    // 400: cannot be read at all
	Unauthorized Kind = "unauthorized" // 401
	Forbidden    Kind = "forbidden"    // 403
	NotFound     Kind = "not_found"    // 404
	Conflict     Kind = "conflict"     // 409
	Gone         Kind = "gone"         // 410
	TooLarge     Kind = "too_large"    // 413
	Unsupported  Kind = "unsupported"  // 415
	Invalid      Kind = "invalid"      // 422: read, but says something that cannot be
	RateLimited  Kind = "rate_limited" // 429
	Transient    Kind = "transient"    // 503: may succeed later
	Precondition Kind = "precondition" // 412: If-Match names another version
	Internal     Kind = "internal"     // 500: our fault
)

// An Error is a failure with a message that may be shown to the caller.
// Anything else that goes wrong is shown as "internal error" and only logged.
type Error struct {
	Kind Kind
	Msg  string // for the caller: one sentence that says what would be right; no hosts, no secrets
	Err  error  // for the log; may be nil

	// Fields are the faults by place, for [Invalid].
	Fields []Field
	// RetryAfter is when to come back, for [RateLimited] and [Transient]; 0 if unknown.
	RetryAfter time.Duration
}

// A Field is one fault in a request body.
type Field struct {
	Pointer string `json:"pointer"` // RFC 6901, such as /severity
	Detail  string `json:"detail"`
}

// Error gives the message and, for the log, its cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Msg + ": " + e.Err.Error()
	}
	return e.Msg
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// E makes an error of kind k for the caller.
func E(k Kind, msg string) *Error { return &Error{Kind: k, Msg: msg} }

// Wrap makes an error of kind k with a cause for the log.
func Wrap(k Kind, err error, msg string) *Error { return &Error{Kind: k, Msg: msg, Err: err} }

// KindOf gives the kind of err: [Internal] for one that is not an [Error], ""
// for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
