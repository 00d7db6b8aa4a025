package pagerduty

import (
	"cmp"
	"context"
	stdjson "encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/PagerDuty/go-pagerduty"

	"github.com/tocsin/tocsin/hub"
)

// PagerDuty's limits.
const (
	maxSummary = 1024
	maxField   = 1024
	maxKey     = 255
	// maxEvent is 512 KB, read the strict way.
	maxEvent = 512_000
)

// Actions of the Events API.
const (
	trigger     = "trigger"
	acknowledge = "acknowledge"
	resolve     = "resolve"
)

// actionOf says what to do at PagerDuty; "" for nothing.
func actionOf(asked string, ev *hub.Event) string {
	switch asked {
	case hub.ActionTrigger, hub.ActionPost: // notify posts to channels of any kind
		return trigger
	case hub.ActionAcknowledge:
		return acknowledge
	case hub.ActionResolve:
		return resolve
	}
	switch ev.Type {
	case hub.AlertAcknowledgedEvent:
		return acknowledge
	case hub.AlertResolvedEvent, hub.AlertDismissedEvent, hub.IncidentResolved, hub.EndpointRecovered:
		return resolve
	case hub.AlertUpdated:
		// Only what a responder has to know. On a resolved alert it would page.
		a := ev.Data.Alert
		_, worse := ev.Data.Changes["severity"]
		if a == nil || a.Status != hub.AlertOpen || !worse && !unacknowledged(ev) {
			return ""
		}
		return trigger
	case hub.IncidentUpdated, hub.ScanCompleted, hub.ComplianceScoreChanged:
		return ""
	}
	return trigger
}

// unacknowledged reports whether ev says that an acknowledgement is over.
func unacknowledged(ev *hub.Event) bool {
	change, there := ev.Data.Changes["status"]
	return there && change[0] == string(hub.AlertInvestigating) && change[1] == string(hub.AlertOpen)
}

// dedupKey names the incident. It never changes for one generation of an alert.
func (t *Target) dedupKey(ctx context.Context, e *hub.Endpoint, ev *hub.Event) (string, error) {
	if a := ev.Data.Alert; a != nil {
		return t.o.KeyAt(ctx, e, Key(a.ID, a.Generation))
	}
	kind, _, _ := strings.Cut(string(ev.Type), ".") // endpoint.disabled and endpoint.recovered are one story
	return cutBytes(kind+":"+ev.Subject, maxKey), nil
}

// over gives the key of an incident that ev says is over, although something
// new is to be triggered: of a generation that passed, or of one whose
// acknowledgement ended, because PagerDuty keeps an acknowledged incident quiet
// whatever is triggered. "" if there is none.
func (t *Target) over(ctx context.Context, e *hub.Endpoint, ev *hub.Event, key, action string) (string, error) {
	change, there := ev.Data.Changes["generation"]
	was, isNumber := change[0].(float64)
	a := ev.Data.Alert
	switch {
	case a == nil:
		return "", nil
	case there && isNumber && int64(was) < a.Generation:
		old, err := t.o.KeyAt(ctx, e, Key(a.ID, int64(was)))
		if old == key {
			old = ""
		}
		return old, err
	case action == trigger && unacknowledged(ev):
		return key, nil
	}
	return "", nil
}

// compose makes the event but for its routing key.
func (t *Target) compose(ev *hub.Event, p *params, action, key string) (*pagerduty.V2Event, error) {
	msg := &pagerduty.V2Event{Action: action, DedupKey: key}
	if action != trigger {
		return msg, nil
	}
	msg.Client = "Tocsin"
	if link := t.o.Link(ev.Subject); isWeb(link) {
		msg.ClientURL = link
		msg.Links = []any{webLink(link, "Open in Tocsin")}
	}
	msg.Links = append(msg.Links, linksOf(ev, p)...)
	msg.Images = imagesOf(p)
	details := detailsOf(ev)
	maps.Copy(details, p.Details)
	msg.Payload = payloadOf(ev, p)
	msg.Payload.Details = details
	return msg, fit(msg, details)
}

func payloadOf(ev *hub.Event, p *params) *pagerduty.V2Payload {
	out := &pagerduty.V2Payload{
		Summary: string(ev.Type) + " " + ev.Subject, Source: "tocsin", Severity: "info", Timestamp: stamp(ev.Time), Class: string(ev.Type),
	}
	if ev.Type == hub.ThreatLockdown {
		out.Severity = "critical"
	}
	if ev.Type == hub.EndpointDisabled || ev.Type == hub.ComplianceFailed || ev.Type == hub.AssetVulnerable {
		out.Severity = "warning"
	}
	if a := ev.Data.Alert; a != nil {
		ofAlert(out, a)
	}
	for _, own := range []string{p.Message, p.Summary} {
		if strings.TrimSpace(own) != "" { // a blank one would be refused
			out.Summary = own
		}
	}
	if p.Severity != "" {
		out.Severity = p.Severity
	}
	out.Summary = cut(out.Summary, maxSummary)
	out.Component, out.Group, out.Class = first(p.Component, out.Component), first(p.Group, out.Group), first(p.Class, out.Class)
	for _, f := range []*string{&out.Source, &out.Component, &out.Group, &out.Class} {
		*f = cut(*f, maxField)
	}
	return out
}

func ofAlert(out *pagerduty.V2Payload, a *hub.Alert) {
	if out.Summary = a.Title; strings.TrimSpace(a.Title) == "" {
		out.Summary = a.Type + " on " + a.AssetID
	}
	if strings.TrimSpace(a.AssetID) != "" {
		out.Source = a.AssetID
	}
	out.Severity, out.Class, out.Group = severity(a.Severity), a.Type, a.Account()
	if a.Asset != nil {
		out.Component = a.Asset.Name
		if out.Component == "" {
			out.Component = a.Asset.Type
		}
	}
}

// severity is the nearest of PagerDuty's four.
func severity(s hub.Severity) string {
	switch s {
	case hub.Critical:
		return "critical"
	case hub.High:
		return "error"
	case hub.Medium:
		return "warning"
	}
	return "info"
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// detailsOf is what a responder sees below the summary.
func detailsOf(ev *hub.Event) map[string]any {
	d := map[string]any{"event": ev.Type, "event_id": ev.ID}
	put := func(name string, v any, is bool) {
		if is {
			d[name] = v
		}
	}
	put("reason", ev.Data.Reason, ev.Data.Reason != "")
	put("changes", ev.Data.Changes, len(ev.Data.Changes) > 0)
	put("endpoint", ev.Data.Endpoint, ev.Data.Endpoint != nil)
	put("object", stdjson.RawMessage(ev.Data.Object), len(ev.Data.Object) > 0)
	a := ev.Data.Alert
	if a == nil {
		return d
	}
	d["alert_id"], d["status"], d["count"], d["sources"] = a.ID, a.Status, a.Count, a.Sources
	put("description", a.Description, a.Description != "")
	put("risk_score", a.RiskScore, a.RiskScore != nil)
	put("first_seen", stamp(a.FirstSeen), !a.FirstSeen.IsZero())
	put("labels", a.Labels, len(a.Labels) > 0)
	put("asset", a.Asset, a.Asset != nil)
	put("vulnerability", a.Vulnerability, a.Vulnerability != nil)
	put("compliance", a.Compliance, a.Compliance != nil)
	put("payload", stdjson.RawMessage(a.Payload), len(a.Payload) > 0)
	return d
}

// fit leaves out the largest details until the event is small enough, and says
// which. It measures with the encoder that go-pagerduty uses.
func fit(msg *pagerduty.V2Event, details map[string]any) error {
	encoded, err := stdjson.Marshal(msg)
	if err != nil {
		return hub.Wrap(hub.Internal, err, "the event for PagerDuty cannot be encoded")
	}
	over := len(encoded) + keyLength - maxEvent
	if over <= 0 {
		return nil
	}
	over += len(leftOut) + maxField + 100 // room for saying so
	var left []string
	for _, x := range bySize(details) {
		if over <= 0 {
			break
		}
		over -= x.size
		delete(details, x.name)
		left = append(left, cut(x.name, 100))
	}
	details[leftOut] = cut("too large for PagerDuty: "+strings.Join(left, ", "), maxField/4)
	return nil
}

// leftOut is the detail that names those that are missing.
const leftOut = "left_out"

// A sized is a detail with how many bytes of the event it takes.
type sized struct {
	name string
	size int
}

// bySize gives the details, the largest first.
func bySize(details map[string]any) []sized {
	all := make([]sized, 0, len(details))
	for name, v := range details {
		encoded, _ := stdjson.Marshal(v) // what cannot be encoded made fit fail before
		all = append(all, sized{name, len(name) + len(encoded) + len(`"":,`)})
	}
	slices.SortFunc(all, func(a, b sized) int { return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.name, b.name)) })
	return all
}

// cut shortens text to a number of characters.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	r := []rune(text)
	return string(r[:most-1]) + "…"
}

// cutBytes shortens a key, whose limit may be of bytes.
func cutBytes(key string, most int) string {
	if len(key) <= most {
		return key
	}
	return strings.ToValidUTF8(key[:most], "")
}
