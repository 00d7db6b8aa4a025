package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/relay/elastic"
)

// elasticWriters write to each Elasticsearch there is an endpoint for. Endpoints
// may be made, changed and removed meanwhile.
type elasticWriters struct {
	app   *App
	poked chan struct{}
	open  map[hub.EndpointID]*elasticWriter // belongs to run
}

func newElasticWriters(a *App) *elasticWriters {
	return &elasticWriters{app: a, poked: make(chan struct{}, 1), open: map[hub.EndpointID]*elasticWriter{}}
}

// check tells of an endpoint that cannot be written to as it is configured.
func (w *elasticWriters) check(endpoints []*hub.Endpoint) error {
	var errs []error
	for _, e := range endpoints {
		if e.Kind != hub.KindElastic || !e.Enabled {
			continue
		}
		if err := ElasticSettings(e, w.app.cfg.Server.BaseURL()).Check(); err != nil {
			errs = append(errs, fmt.Errorf("endpoint %s: %w", e.Name, err))
		}
	}
	return errors.Join(errs...)
}

// poke tells that endpoints may have changed.
func (w *elasticWriters) poke() {
	select {
	case w.poked <- struct{}{}:
	default:
	}
}

// run keeps what is written to in step with the endpoints until ctx ends.
func (w *elasticWriters) run(ctx context.Context) {
	defer func() {
		for _, x := range w.open {
			x.close()
		}
	}()
	for {
		var again <-chan time.Time
		if err := w.follow(ctx); err != nil && ctx.Err() == nil {
			w.app.log.Error("an elasticsearch is not written to; trying again", "error", err)
			again = time.After(stewardWait)
		}
		select {
		case <-ctx.Done():
			return
		case <-w.poked:
		case <-again:
		}
	}
}

// follow ends writers whose endpoint is gone, switched off or changed, and begins
// those that are missing.
func (w *elasticWriters) follow(ctx context.Context) error {
	for id, x := range w.open {
		if e := w.app.rules.endpoint(id); e == nil || !e.Enabled || e.Version != x.endpoint.Version {
			x.close()
			delete(w.open, id)
		}
	}
	var errs []error
	for _, e := range w.app.rules.all() {
		if e.Kind != hub.KindElastic || !e.Enabled || w.open[e.ID] != nil {
			continue
		}
		x, err := w.app.openElastic(ctx, e)
		if err != nil {
			errs = append(errs, fmt.Errorf("endpoint %s: %w", e.Name, err))
			continue
		}
		w.open[e.ID] = x
	}
	return errors.Join(errs...)
}

// An elasticWriter writes to one Elasticsearch.
type elasticWriter struct {
	endpoint *hub.Endpoint
	end      []func() // last first
	working  sync.WaitGroup
}

// close ends the writer and waits for that. What it had not written is written by
// the one after it.
func (x *elasticWriter) close() {
	for _, end := range slices.Backward(x.end) {
		end()
	}
	x.working.Wait()
}

// openElastic begins to write to an endpoint, with a sink for each of its streams:
// one that is refused does not hold up another.
func (a *App) openElastic(ctx context.Context, e *hub.Endpoint) (*elasticWriter, error) {
	x := &elasticWriter{endpoint: e}
	metrics := prometheus.NewRegistry() // taken away as one
	voice := &elasticVoice{tell: a.tellElastic, endpoint: e, paused: map[string]bool{}}
	streams := strings.Fields(e.Config["streams"])
	for _, stream := range []string{elasticAlerts, elasticFindings, elasticAudit} {
		if len(streams) > 0 && !slices.Contains(streams, stream) {
			continue
		}
		sink, err := elastic.New(ElasticSettings(e, a.cfg.Server.BaseURL()), elastic.Deps{
			Client: a.client.HTTP(), Log: a.log.With("endpoint", e.Name, "stream", stream),
			Metrics: prometheus.WrapRegistererWith(prometheus.Labels{"endpoint": e.Name, "stream": stream}, metrics),
		})
		if err == nil {
			err = a.openElasticStream(ctx, x, stream, sink, voice)
		}
		if err != nil {
			x.close()
			return nil, err
		}
	}
	if err := a.reg.Register(metrics); err != nil {
		x.close()
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	x.end = append(x.end, func() { a.reg.Unregister(metrics) })
	return x, nil
}

func (a *App) openElasticStream(ctx context.Context, x *elasticWriter, stream string, sink *elastic.Sink, voice *elasticVoice) error {
	if stream == elasticAlerts {
		s := &elasticSink{endpoint: x.endpoint, sink: sink, voice: voice}
		batcher := bus.NewBatcher(bus.BatcherOptions{MaxSize: elasticWindow / 2, MaxBytes: elastic.FlushBytes, MaxWait: elastic.FlushAfter}, s.handle)
		x.end = append(x.end, batcher.Close)
		return a.consumeEvents(ctx, x, "elastic-"+x.endpoint.Name, batcher)
	}
	t := &elasticTail{
		endpoint: x.endpoint, stream: stream, sink: sink, voice: voice, log: a.log.With("endpoint", x.endpoint.Name, "stream", stream), st: a.st, cluster: a.cluster,
		publish: func(tx *store.Tx, m *message.Message) error { return a.bus.PublishTx(tx, bus.TopicDeadLetters, m) },
	}
	if t.read = t.findings; stream == elasticAudit {
		t.read = t.audit
	}
	copying, cancel := context.WithCancel(context.WithoutCancel(ctx))
	x.end = append(x.end, cancel)
	x.working.Go(func() { t.run(copying) })
	return nil
}

// consumeEvents gives the events on the bus to a writer.
func (a *App) consumeEvents(ctx context.Context, x *elasticWriter, group string, batcher *bus.Batcher) error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: routerClose}, watermill.NewSlogLogger(quiet(a.log)))
	if err != nil {
		return err
	}
	router.AddConsumerHandler(group, bus.TopicEvents, a.bus.Subscriber(group, elasticWindow), batcher.Handle).AddMiddleware(bus.Report)
	ended := make(chan error, 1)
	x.working.Go(func() { ended <- router.Run(context.WithoutCancel(ctx)) })
	x.end = append(x.end, func() { _ = router.Close() }) // a handler that takes too long is given its events again
	select {
	case <-router.Running():
		return nil
	case err := <-ended:
		return fmt.Errorf("take part in the events: %w", err)
	}
}
