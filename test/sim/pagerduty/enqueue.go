package pagerduty

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// An Event is the body of POST /v2/enqueue.
type Event struct {
	RoutingKey  string           `json:"routing_key"`
	EventAction string           `json:"event_action"`
	DedupKey    string           `json:"dedup_key,omitempty"`
	Payload     *Payload         `json:"payload,omitempty"`
	Client      string           `json:"client,omitempty"`
	ClientURL   string           `json:"client_url,omitempty"`
	Images      []map[string]any `json:"images,omitempty"`
	Links       []map[string]any `json:"links,omitempty"`
}

// A Payload tells what happened.
type Payload struct {
	Summary       string `json:"summary"`
	Source        string `json:"source"`
	Severity      string `json:"severity"`
	Timestamp     string `json:"timestamp,omitempty"`
	Component     string `json:"component,omitempty"`
	Group         string `json:"group,omitempty"`
	Class         string `json:"class,omitempty"`
	CustomDetails any    `json:"custom_details,omitempty"`
}

// maxEvent is the documented 512 KB.
const maxEvent = 512 << 10

var (
	known        = []string{"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "images", "links"}
	knownPayload = []string{"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
)

func (s *Sim) enqueue(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxEvent+1))
	if err != nil {
		return
	}
	e, faults := parse(r, body)
	if len(faults) > 0 {
		s.Violate(r, "%v", faults)
		unkind.Answer(w, http.StatusBadRequest, map[string]any{
			"status": "invalid event", "message": "Event object is invalid", "errors": faults,
		})
		return
	}
	if !s.within(w, r, e.RoutingKey) {
		return
	}
	if !s.keys[e.RoutingKey] {
		unkind.Answer(w, http.StatusBadRequest, map[string]any{
			"status": "invalid event", "message": "Event object is invalid", "errors": []string{"Invalid routing key"},
		})
		return
	}
	unkind.Answer(w, http.StatusAccepted, map[string]any{
		"status": "success", "message": "Event processed", "dedup_key": s.apply(e),
	})
}

func parse(r *http.Request, body []byte) (Event, []string) {
	var e Event
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		return e, []string{fmt.Sprintf("Content-Type is %q, want application/json", r.Header.Get("Content-Type"))}
	}
	if len(body) > maxEvent {
		return e, []string{"Event exceeds 512 KB"}
	}
	members := map[string]json.RawMessage{}
	if json.Unmarshal(body, &members) != nil || json.Unmarshal(body, &e) != nil || !utf8.Valid(body) {
		return e, []string{"JSON is malformed"}
	}
	faults := append(e.faults(), strangers("", members, known)...)
	var payload map[string]json.RawMessage
	if raw := members["payload"]; raw != nil && json.Unmarshal(raw, &payload) == nil {
		faults = append(faults, strangers("payload.", payload, knownPayload)...)
		if d := payload["custom_details"]; d != nil && d[0] != '{' {
			faults = append(faults, "'payload.custom_details' must be an object")
		}
	}
	slices.Sort(faults)
	return e, faults
}

// strangers names the members that are not documented.
func strangers[V any](path string, members map[string]V, known []string) (faults []string) {
	for name := range members {
		if !slices.Contains(known, name) {
			faults = append(faults, fmt.Sprintf("'%s%s' is not a field", path, name))
		}
	}
	return faults
}

// routingForm is that of integration keys.
var routingForm = regexp.MustCompile(`^[A-Za-z0-9]{32}$`)

// optionalText reports whether a member is a text or not there.
func optionalText(v any) bool {
	_, text := v.(string)
	return text || v == nil
}

func (e Event) faults() []string {
	var faults []string
	want := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	want(routingForm.MatchString(e.RoutingKey), "'routing_key' must be 32 letters and digits, has %d characters", len(e.RoutingKey))
	want(slices.Contains([]string{"trigger", "acknowledge", "resolve"}, e.EventAction),
		"'event_action' must be trigger, acknowledge or resolve, is %q", e.EventAction)
	want(utf8.RuneCountInString(e.DedupKey) <= 255, "'dedup_key' is longer than 255 characters")
	want(e.EventAction == "trigger" || e.DedupKey != "", "'dedup_key' is missing or blank")
	if e.EventAction == "trigger" {
		e.Payload.faults(want)
	}
	for i, l := range e.Links {
		want(web(l["href"], "https", "http"), "'links[%d].href' is no web address", i)
		want(optionalText(l["text"]), "'links[%d].text' must be text", i)
		faults = append(faults, strangers(fmt.Sprintf("links[%d].", i), l, []string{"href", "text"})...)
	}
	for i, image := range e.Images {
		want(web(image["src"], "https"), "'images[%d].src' must be an https address", i)
		want(image["href"] == nil || web(image["href"], "https", "http"), "'images[%d].href' is no web address", i)
		want(optionalText(image["alt"]), "'images[%d].alt' must be text", i)
		faults = append(faults, strangers(fmt.Sprintf("images[%d].", i), image, []string{"src", "href", "alt"})...)
	}
	want(e.ClientURL == "" || web(e.ClientURL, "https", "http"), "'client_url' is no web address")
	return faults
}

func (p *Payload) faults(want func(bool, string, ...any)) {
	if p == nil {
		want(false, "'payload' is missing or blank")
		return
	}
	want(strings.TrimSpace(p.Summary) != "", "'payload.summary' is missing or blank")
	want(utf8.RuneCountInString(p.Summary) <= 1024, "'payload.summary' is longer than 1024 characters")
	want(strings.TrimSpace(p.Source) != "", "'payload.source' is missing or blank")
	want(slices.Contains([]string{"critical", "error", "warning", "info"}, p.Severity),
		"'payload.severity' must be critical, error, warning or info, is %q", p.Severity)
	if p.Timestamp != "" {
		_, err := time.Parse(time.RFC3339, p.Timestamp)
		if err != nil {
			_, err = time.Parse("2006-01-02T15:04:05.999-0700", p.Timestamp)
		}
		want(err == nil, "'payload.timestamp' is no ISO 8601 time")
	}
}

func web(v any, schemes ...string) bool {
	text, _ := v.(string)
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme)
}
