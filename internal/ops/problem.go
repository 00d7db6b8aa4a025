package ops

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// An APIError is a refusal by the hub, as its problem+json tells it.
type APIError struct {
	Status     int
	Title      string
	Detail     string
	Fields     []hub.Field
	RequestID  string
	RetryAfter time.Duration
}

// refusal reads an answer that is no success.
func refusal(res *http.Response, body []byte) error {
	if where := res.Header.Get("Location"); res.StatusCode/100 == 3 && where != "" {
		return fmt.Errorf("the address leads elsewhere, to %s; name the hub itself with --url", where)
	}
	var p struct {
		Title     string      `json:"title"`
		Detail    string      `json:"detail"`
		Errors    []hub.Field `json:"errors"`
		RequestID string      `json:"request_id"`
	}
	e := &APIError{Status: res.StatusCode, Title: http.StatusText(res.StatusCode), RetryAfter: parseRetryAfter(res.Header.Get("Retry-After"), time.Now())}
	if json.Unmarshal(body, &p) == nil && p.Title != "" {
		e.Title, e.Detail, e.Fields, e.RequestID = p.Title, p.Detail, p.Errors, p.RequestID
	}
	return e
}

// Error gives the detail with the fields that failed, and what to do where the
// hub's own words do not say it.
func (e *APIError) Error() string {
	var b strings.Builder
	b.WriteString(e.Detail)
	if e.Detail == "" {
		fmt.Fprintf(&b, "the hub answered %d %s", e.Status, e.Title)
	}
	before := ": "
	for _, f := range e.further() {
		b.WriteString(before + strings.TrimSpace(f.Pointer+" "+f.Detail))
		before = "; "
	}
	b.WriteString(e.advice())
	return b.String()
}

// further are the fields that the detail does not tell of.
func (e *APIError) further() []hub.Field {
	if len(e.Fields) == 1 && strings.Contains(e.Detail, e.Fields[0].Detail) {
		return nil
	}
	return e.Fields
}

func (e *APIError) advice() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return "; give an API key with --key or TOCSIN_API_KEY"
	case e.Status == http.StatusForbidden:
		return "; use a key whose role allows it"
	case e.RetryAfter > 0:
		return fmt.Sprintf("; try again after %v", e.RetryAfter)
	case e.Status >= 500 && e.RequestID != "":
		return fmt.Sprintf("; the hub's log tells more under request_id %s", e.RequestID)
	}
	return ""
}
