package elastic

import (
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// Names of the data streams and indices, without the namespace.
const (
	alertStream   = "logs-tocsin.alert-"
	findingStream = "logs-tocsin.finding-"
	auditStream   = "logs-tocsin.audit-"
	stateIndex    = "tocsin-alerts-"
)

// A Doc is one document on its way to Elasticsearch.
type Doc struct {
	Index string // data stream, or index
	ID    string
	// Version is the external version of a document in an ordinary index. 0
	// means a data stream, which takes only documents that do not exist yet.
	Version int64
	Body    []byte // one line of JSON
	Event   hub.EventID
}

// A Mapping turns what the hub knows into documents. It is a pure function of
// its fields and its input, so the same input always gives the same documents.
type Mapping struct {
	Namespace string
	Link      string // in front of an alert's id for event.url; "" for none
}

// Documents gives the documents of an event: for an alert event one for the
// change and one with the current state, for any other event none.
func (m Mapping) Documents(ev *hub.Event) []Doc {
	a := ev.Data.Alert
	if a == nil || !strings.HasPrefix(string(ev.Type), "alert.") {
		return nil
	}
	seen := observed(a)
	tail := builder{b: append(make([]byte, 0, 1024+len(a.Payload)), '{')}
	tail.alertTail(ev, a, &seen)
	return []Doc{
		{
			Index: alertStream + m.Namespace, ID: changeID(a), Event: ev.ID,
			Body: m.change(ev, a, tail.b),
		},
		{
			Index: stateIndex + m.Namespace, ID: string(a.ID), Version: a.Version, Event: ev.ID,
			Body: m.state(ev, a, tail.b),
		},
	}
}

// changeID is made only of what never changes about a change, so that a repeat
// has the same id.
func changeID(a *hub.Alert) string {
	b := make([]byte, 0, 48)
	b = append(b, a.ID...)
	b = append(b, '-')
	b = strconv.AppendInt(b, a.Generation, 10)
	b = append(b, '-')
	return string(strconv.AppendInt(b, a.Version, 10))
}

// change makes the document of the data stream.
func (m Mapping) change(ev *hub.Event, a *hub.Alert, tail []byte) []byte {
	w := builder{b: append(make([]byte, 0, 768+len(tail)), '{')}
	kind, at := kindEvent, ev.Time
	if ev.Type == hub.AlertCreated || ev.Type == hub.AlertReopened {
		kind, at = kindAlert, a.LastSeen // when it happened at the source
	}
	if at.IsZero() {
		at = ev.Time
	}
	w.time("@timestamp", at)
	w.stream("tocsin.alert", m.Namespace)
	m.event(&w, ev, a, kind)
	return join(w.b, tail)
}

// state makes the document with the current state. Its kind keeps it out of
// every query for alerts.
func (m Mapping) state(ev *hub.Event, a *hub.Alert, tail []byte) []byte {
	w := builder{b: append(make([]byte, 0, 640+len(tail)), '{')}
	w.time("@timestamp", ev.Time)
	m.event(&w, ev, a, kindState)
	return join(w.b, tail)
}

// join makes one object of two; tail is left as it is.
func join(head, tail []byte) []byte {
	head = append(head, ',')
	head = append(head, tail[1:]...)
	return append(head, '}')
}

func (w *builder) stream(dataset, namespace string) {
	o := w.open("data_stream")
	w.str("type", "logs")
	w.str("dataset", dataset)
	w.str("namespace", namespace)
	w.close(o)
}

// event writes event.*, except event.ingested, which Elasticsearch stamps: by
// it the "External Alerts" rule finds documents, however old their events are.
func (m Mapping) event(w *builder, ev *hub.Event, a *hub.Alert, kind string) {
	o := w.open("event")
	w.str("kind", kind)
	w.strs("category", categoryOf(a.Type)...)
	w.strs("type", "info")
	w.str("module", "tocsin")
	w.str("dataset", "tocsin.alert")
	w.str("provider", a.Source)
	w.str("id", changeID(a))
	w.str("action", string(ev.Type))
	w.str("reason", ev.Data.Reason)
	w.time("created", ev.Time)
	w.time("start", a.FirstSeen)
	w.time("end", a.ResolvedAt)
	w.num("severity", severityNumber(a.Severity))
	w.float("risk_score", a.RiskScore)
	w.float("risk_score_norm", a.RiskScore)
	if m.Link != "" {
		w.str("url", m.Link+string(a.ID))
	}
	w.close(o)
}

// alertTail writes everything that both documents of an alert event share.
func (w *builder) alertTail(ev *hub.Event, a *hub.Alert, seen *observables) {
	w.common(a.Tenant, message(a.Title, a.Type, a.AssetID))
	w.rule(a.Labels, a.Title, a.Type, a.Source, a.Compliance)
	w.observer(a.Labels, a.Source)
	w.asset(a.AssetID, a.Asset)
	w.observed(seen)
	w.vulnerability(a.Vulnerability, a.Severity, a.Source)
	w.threat(a.Labels)
	w.labels("labels", a.Labels)
	w.strs("tags", "tocsin", a.Type)

	t := w.open("tocsin")
	w.str("tenant", string(a.Tenant))
	w.alert(a)
	w.ownAsset(a.AssetID, a.Asset)
	w.ownEvent(ev)
	w.ownChange(&ev.Data)
	w.ownCompliance(a.Compliance)
	w.ownFix(a.Vulnerability)
	w.raw("raw", a.Payload)
	w.close(t)
}

func observed(a *hub.Alert) observables {
	var o observables
	o.observe(a.Payload)
	o.ofAsset(a.AssetID, a.Asset)
	return o
}

// ofAsset takes an asset that is an address, a host or a user.
func (o *observables) ofAsset(id string, asset *hub.Asset) {
	o.ip(id)
	if asset == nil {
		return
	}
	o.ip(asset.Name)
	name := asset.Name
	if name == "" {
		name = id
	}
	switch {
	case isHost(asset.Type):
		o.host(name)
	case isUser(asset.Type):
		o.name(name)
	}
}

// message is what a SIEM shows as the alert's name.
func message(title, findingType, asset string) string {
	if title != "" {
		return title
	}
	return findingType + " on " + asset
}

// alert writes the hub's own state of an alert.
func (w *builder) alert(a *hub.Alert) {
	o := w.open("alert")
	w.str("id", string(a.ID))
	w.num("generation", a.Generation)
	w.num("version", a.Version)
	w.str("state", string(a.Status))
	w.str("type", a.Type)
	w.str("severity", string(a.Severity))
	w.str("identity_key", a.Fingerprint.String())
	w.str("source", a.Source)
	w.strs("sources", a.Sources...)
	w.str("description", a.Description)
	w.num("count", a.Count)
	w.num("duplicates", a.Duplicates)
	w.str("assignee", a.Assignee)
	w.str("acknowledged_by", a.AcknowledgedBy)
	w.str("incident_id", a.IncidentID)
	w.str("previous_alert_id", string(a.PreviousAlertID))
	for _, t := range [...]struct {
		name string
		at   time.Time
	}{
		{"first_seen", a.FirstSeen},
		{"last_seen", a.LastSeen},
		{"created_at", a.CreatedAt},
		{"updated_at", a.UpdatedAt},
		{"acknowledged_at", a.AcknowledgedAt},
		{"resolved_at", a.ResolvedAt},
	} {
		w.time(t.name, t.at)
	}
	w.close(o)
}
