// Package elastic writes alerts to Elasticsearch in the form that a SIEM
// pulls: data streams with ECS documents, so that Elastic's "External Alerts"
// rule finds each new alert exactly once, and an index with the current state
// of each alert.
//
// [Mapping] is pure: an event, a finding or an audit entry in, documents out.
// [Sink] writes documents with _bulk and keeps a ledger of its own, one line a
// document: a document counts as done only when Elasticsearch said so for that
// document. go-elasticsearch serves as transport only, because its bulk
// indexer counts documents diverted to the failure store as written and does
// not try a refused item again.
//
// What it writes:
//
//   - logs-tocsin.alert-<namespace>, one document for each change of an alert,
//     _id <alert>-<generation>-<change>
//   - tocsin-alerts-<namespace>, one document for each alert, _id <alert>,
//     versioned by the alert's change number
//   - logs-tocsin.finding-<namespace>, _id <finding>
//   - logs-tocsin.audit-<namespace>, _id <audit entry>
//
// Every document has an id made of what it tells of, so writing it again
// changes nothing. That is what makes [Sink.Handle] safe to repeat. Queueing,
// waiting between failed windows and storing dead letters are left to the
// caller.
package elastic

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// When a caller's batch is due: documents that page somebody must not wait,
// and one megabyte passes every proxy's default limit.
const (
	FlushBytes = 1_000_000
	FlushAfter = time.Second
)

// Settings say where to write and how.
type Settings struct {
	// URLs of the cluster's nodes, tried in turn. Credentials in a URL are
	// refused.
	URLs []string
	// APIKey is the encoded form, as Elasticsearch shows it once. It wins over
	// Username and Password.
	APIKey   secret.Secret
	Username string
	Password secret.Secret

	// Namespace ends the names of all streams and indices: a tenant or an
	// environment. Default "default".
	Namespace string
	// Link goes in front of an alert's id to make event.url; empty for none.
	Link string

	// NoSetup leaves templates, pipeline and lifecycle to `tocsin elastic setup`
	// run by somebody with the rights; otherwise they are installed at first use.
	NoSetup bool
	// NoPipeline is for clusters without ingest processors: event.ingested is
	// then stamped here, just before sending, by our clock.
	NoPipeline bool
	// NoGzip sends bodies as they are.
	NoGzip bool

	// Retention is how long Elasticsearch keeps each stream.
	Retention Retention

	// Timeout is for one request. Default 30s.
	Timeout time.Duration
	// Patience is how long one Write tries without progress before it gives
	// the window back to its caller. Default 30s.
	Patience time.Duration
}

// Retention is a time such as 365d for each data stream, "" for forever.
type Retention struct {
	Alerts, Findings, Audit string
}

// Check gives every fault of s, as an error of kind [hub.Invalid].
func (s Settings) Check() error {
	var faults []hub.Field
	fault := func(pointer, detail string) {
		faults = append(faults, hub.Field{Pointer: pointer, Detail: detail})
	}
	if len(s.URLs) == 0 {
		fault("/urls", "name at least one node, such as https://elasticsearch.example:9200")
	}
	for i, u := range s.URLs {
		if detail := urlFault(u); detail != "" {
			fault("/urls/"+strconv.Itoa(i), detail)
		}
	}
	if (s.Username == "") != s.Password.IsZero() {
		fault("/username", "username and password belong together")
	}
	if detail := namespaceFault(s.Namespace); detail != "" {
		fault("/namespace", detail)
	}
	for name, age := range map[string]string{"alerts": s.Retention.Alerts, "findings": s.Retention.Findings, "audit": s.Retention.Audit} {
		if age != "" && !isAge(age) {
			fault("/retention/"+name, "write a time such as 365d or 12h")
		}
	}
	if s.Timeout < 0 {
		fault("/timeout", "must not be negative")
	}
	if s.Patience < 0 {
		fault("/patience", "must not be negative")
	}
	if len(faults) == 0 {
		return nil
	}
	return &hub.Error{Kind: hub.Invalid, Msg: "the elasticsearch settings have faults", Fields: faults}
}

// withDefaults fills what was left empty.
func (s Settings) withDefaults() Settings {
	if s.Namespace == "" {
		s.Namespace = "default"
	}
	if s.Timeout == 0 {
		s.Timeout = 30 * time.Second
	}
	if s.Patience == 0 {
		s.Patience = 30 * time.Second
	}
	return s
}

func urlFault(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "write an http or https URL"
	case u.User != nil:
		return "put the credentials into api_key, or username and password"
	case u.RawQuery != "" || u.Fragment != "":
		return "leave out query and fragment"
	}
	return ""
}

// namespaceFault checks what data stream naming demands of a namespace.
func namespaceFault(n string) string {
	switch {
	case len(n) > 100:
		return "at most 100 bytes"
	case n != strings.ToLower(n):
		return "lower case only"
	case strings.ContainsAny(n, "-\\/*?\"<>| ,#:\x00"):
		return `must not hold - \ / * ? " < > | , # : or a blank`
	}
	return ""
}

func isAge(text string) bool {
	ok, _ := regexp.MatchString(`^[1-9][0-9]{0,5}[dhms]$`, text)
	return ok
}
