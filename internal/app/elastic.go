package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/secret"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/relay/elastic"
)

// What an endpoint of kind elasticsearch can be given.
const (
	elasticAlerts   = "alerts"   // each change of an alert, and how it stands
	elasticFindings = "findings" // each finding, as it was normalised
	elasticAudit    = "audit"    // the audit log
)

// An elasticSink writes the events about alerts for one endpoint: a group of its
// own on the topic of events, so that one that is down does not hold up another.
type elasticSink struct {
	endpoint *hub.Endpoint
	sink     *elastic.Sink
	voice    *elasticVoice
}

// elasticWindow is how many events a sink has in hand: more than fill a bulk
// request of 1 MB, or every request would wait for its time instead.
const elasticWindow = 4096

// ElasticSettings gives the settings of an endpoint of kind elasticsearch of the
// hub at publicURL.
func ElasticSettings(e *hub.Endpoint, publicURL string) elastic.Settings {
	s := elastic.Settings{
		URLs: []string{e.URL}, Username: e.Config["username"], Namespace: e.Config["namespace"],
		NoSetup: e.Config["setup"] == "false", NoPipeline: e.Config["pipeline"] == "false",
		Timeout: time.Duration(e.Timeout), Link: publicURL + "/alerts/",
		Retention: elastic.Retention{Alerts: e.Config["retention_alerts"], Findings: e.Config["retention_findings"], Audit: e.Config["retention_audit"]},
	}
	if k := e.Secrets.Tokens["api_key"]; k != "" {
		s.APIKey = secret.New(k)
	}
	if p := e.Secrets.Tokens["password"]; p != "" {
		s.Password = secret.New(p)
	}
	return s
}

// handle writes a window of events. Documents that Elasticsearch refuses for
// good become dead letters of their event, with the reason.
func (s *elasticSink) handle(ctx context.Context, msgs []*message.Message) []error {
	bodies := make([][]byte, 0, len(msgs))
	byEvent := make(map[string]int, len(msgs))
	for i, m := range msgs {
		if m.Metadata.Get(bus.MetaTenant) != string(s.endpoint.Tenant) {
			continue
		}
		bodies = append(bodies, m.Payload)
		byEvent[m.UUID] = i
	}
	errs := make([]error, len(msgs))
	handle := s.sink.Handle
	if slices.ContainsFunc(msgs, func(m *message.Message) bool { return bus.Attempt(m) > 1 }) {
		handle = s.sink.HandleAgain
	}
	dead, err := handle(ctx, bodies)
	s.voice.say(ctx, elasticAlerts, s.sink.State())
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for _, d := range dead {
		if i, ok := byEvent[string(d.EventID)]; ok {
			errs[i] = hub.E(hub.Invalid, refusal(&d))
		}
	}
	return errs
}

// refusal says why a document is a dead letter.
func refusal(d *elastic.DeadLetter) string {
	return fmt.Sprintf("elasticsearch refused document %s of %s: %d %s: %s", d.ID, d.Index, d.Status, d.Type, d.Reason)
}

// An elasticVoice tells the tenant's own channels when somebody must mend
// something before an endpoint takes documents again, and when it does.
type elasticVoice struct {
	endpoint *hub.Endpoint
	tell     func(ctx context.Context, e *hub.Endpoint, typ hub.EventType, why string)

	mu     sync.Mutex // guards paused
	paused map[string]bool
}

// say looks at the state of one of the endpoint's sinks. What several have to say
// is told once.
func (v *elasticVoice) say(ctx context.Context, stream string, s elastic.State) {
	v.mu.Lock()
	before := len(v.paused)
	if s.Paused != "" {
		v.paused[stream] = true
	} else if s.Fault == "" {
		delete(v.paused, stream)
	}
	after := len(v.paused)
	v.mu.Unlock()
	switch {
	case before == 0 && after > 0:
		v.tell(ctx, v.endpoint, hub.EndpointDisabled, s.Paused)
	case before > 0 && after == 0:
		v.tell(ctx, v.endpoint, hub.EndpointRecovered, "it takes documents again; those that were held follow")
	}
}

// tellElastic announces what became of an endpoint. That it cannot be announced
// now is logged: what it is about is in the log too.
func (a *App) tellElastic(ctx context.Context, e *hub.Endpoint, typ hub.EventType, why string) {
	action := "endpoint.open"
	if typ == hub.EndpointRecovered {
		action = "endpoint.recover"
	}
	err := a.st.Do(ctx, func(tx *store.Tx) error {
		tx.Audit(endpointEntry(hub.System(e.Tenant), action, e))
		return a.queue.tell(tx, typ, e, why)
	})
	if err != nil && ctx.Err() == nil {
		a.log.Warn("the state of an endpoint could not be announced", "endpoint", e.Name, "error", err)
	}
}
