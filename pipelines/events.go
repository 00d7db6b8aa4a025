package pipelines

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/pipelines/dedup"
)

// event makes the event that tells of a decision about the alert of s. The
// alert's own encoding is kept for when the alert is stored.
func (u *unit) event(s *slot, d *dedup.Decision, c cause) (*hub.Event, []byte) {
	ev := &hub.Event{
		SpecVersion: "1.0", ID: hub.EventID(ident.New(hub.PrefixEvent)), Source: u.p.opts.Source, Type: d.Event,
		Subject: string(s.alert.ID), Time: u.now, Timestamp: u.now, Tenant: s.alert.Tenant, Sequence: u.tx.NextSequence(),
		Data: hub.EventData{Alert: s.alert, Changes: d.Changes, Reason: d.Reason, Actor: c.by.Name(), Findings: c.findings, Depth: c.depth},
	}
	s.doc = encode(s.alert)
	body, err := ev.AppendJSON(make([]byte, 0, len(s.doc)+512), s.doc)
	if err != nil {
		panic(fmt.Sprintf("pipelines: encode an event: %v", err)) // the type is ours
	}
	return ev, body
}

// encode gives the stored form of an alert.
func encode(a *hub.Alert) []byte {
	doc, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Sprintf("pipelines: encode an alert: %v", err)) // the type is ours
	}
	return doc
}

// publish stores the event and puts it on the bus.
func (u *unit) publish(ev *hub.Event, body []byte) error {
	u.tx.AddEvent(hub.EventRecord{
		Sequence: ev.Sequence, ID: ev.ID, Tenant: ev.Tenant, Type: ev.Type, Subject: ev.Subject, At: ev.Time, Body: body,
	})
	u.events = append(u.events, string(ev.Type))
	if !u.rules.PublishEvents {
		return nil
	}
	m := bus.NewMessage(string(ev.ID), string(ev.Tenant), ev.Subject, body)
	m.Metadata.Set(bus.MetaContentType, bus.ContentCloudEvent)
	m.Metadata.Set(bus.MetaEventID, string(ev.ID))
	m.Metadata.Set(bus.MetaEventType, string(ev.Type))
	return u.tx.Publish(bus.TopicEvents, m)
}
