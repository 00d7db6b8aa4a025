package app

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/secret"
	"github.com/tocsin/tocsin/relay/elastic"
)

// An elasticSink is one endpoint of kind elasticsearch: a group of its own on the
// topic of events, so that one that is down does not hold up another.
type elasticSink struct {
	endpoint *hub.Endpoint
	sink     *elastic.Sink
	batcher  *bus.Batcher
	group    string
}

// elasticWindow is how many events a sink has in hand: more than fill a bulk
// request of 1 MB, or every request would wait for its time instead.
const elasticWindow = 4096

func elasticSettings(e *hub.Endpoint, publicURL string) elastic.Settings {
	s := elastic.Settings{
		URLs: []string{e.URL}, Username: e.Config["username"], Namespace: e.Config["namespace"],
		NoSetup: e.Config["setup"] == "false", Link: publicURL + "/alerts/",
	}
	if k := e.Secrets.Tokens["api_key"]; k != "" {
		s.APIKey = secret.New(k)
	}
	if p := e.Secrets.Tokens["password"]; p != "" {
		s.Password = secret.New(p)
	}
	return s
}

// openElastic makes a sink for each configured Elasticsearch.
func (a *App) openElastic(endpoints []*hub.Endpoint) error {
	for _, e := range endpoints {
		if e.Kind != hub.KindElastic || !e.Enabled {
			continue
		}
		sink, err := elastic.New(elasticSettings(e, a.cfg.Server.BaseURL()), elastic.Deps{
			Client: a.client.HTTP(), Log: a.log.With("endpoint", e.Name),
			Metrics: prometheus.WrapRegistererWith(prometheus.Labels{"endpoint": e.Name}, a.reg),
		})
		if err != nil {
			return fmt.Errorf("endpoint %s: %w", e.Name, err)
		}
		s := &elasticSink{endpoint: e, sink: sink, group: "elastic-" + e.Name}
		s.batcher = bus.NewBatcher(bus.BatcherOptions{MaxSize: elasticWindow / 2, MaxBytes: elastic.FlushBytes, MaxWait: elastic.FlushAfter}, s.handle)
		a.elastic = append(a.elastic, s)
	}
	return nil
}

// handle writes a window of events. Documents that Elasticsearch refuses for
// good become dead letters of their event, with the reason.
func (s *elasticSink) handle(ctx context.Context, msgs []*message.Message) []error {
	bodies := make([][]byte, len(msgs))
	byEvent := make(map[string]int, len(msgs))
	for i, m := range msgs {
		bodies[i] = m.Payload
		byEvent[m.UUID] = i
	}
	errs := make([]error, len(msgs))
	dead, err := s.sink.Handle(ctx, bodies)
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for _, d := range dead {
		if i, ok := byEvent[string(d.EventID)]; ok {
			errs[i] = hub.E(hub.Invalid, fmt.Sprintf("elasticsearch refused document %s of %s: %d %s: %s", d.ID, d.Index, d.Status, d.Type, d.Reason))
		}
	}
	return errs
}
