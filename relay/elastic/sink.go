package elastic

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/hub"
)

// Deps are what a [Sink] is given by the composition root.
type Deps struct {
	// Client's transport carries the requests. Trust in private authorities
	// and refusal of addresses are its business; redirects are not followed.
	Client  *http.Client
	Log     *slog.Logger          // nil: no log
	Metrics prometheus.Registerer // nil: no metrics
}

// A Sink writes documents to one cluster. Calls may overlap.
type Sink struct {
	settings Settings
	mapping  Mapping
	client   *elasticsearch.BaseClient
	log      *slog.Logger

	// limit is the largest body that is sent; a 413 lowers it.
	limit atomic.Int64
	// settled counts the windows that this process has written: an earlier one may
	// have written the first few without knowing.
	settled atomic.Int64

	done, dead, retried, requests, bytes atomic.Int64

	setup     sync.Mutex // guards installed, and is held while installing
	installed bool

	mu    sync.Mutex // guards what follows
	state State
	// doubtful are documents that were sent, whose answer was lost, and that went
	// back to the caller, who hands them over again.
	doubtful map[string]struct{}
}

// State tells how a sink is doing.
type State struct {
	// Paused says what somebody must do before anything more is written; ""
	// while nothing is wrong with the configuration.
	Paused string `json:"paused,omitempty"`
	// Fault is the last failure that may pass by itself; "" after a success.
	Fault string `json:"fault,omitempty"`
	// Since is when Paused or Fault began, LastSuccess when a window was last
	// written.
	Since       time.Time `json:"since,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`

	Documents   int64 `json:"documents"`    // that Elasticsearch has
	DeadLetters int64 `json:"dead_letters"` // that it will not take
	Retried     int64 `json:"retried"`      // documents sent again
	Requests    int64 `json:"requests"`
	Bytes       int64 `json:"bytes"` // of bulk bodies, before compression
}

// New makes a sink. It does not connect: a cluster that is down at start is
// no reason not to start.
func New(s Settings, d Deps) (*Sink, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	client, err := newClient(s, d.Client)
	if err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the elasticsearch settings cannot be used")
	}
	k := &Sink{
		settings: s,
		mapping:  Mapping{Namespace: s.Namespace, Link: s.Link},
		client:   client,
		log:      cmp.Or(d.Log, slog.New(slog.DiscardHandler)),
		doubtful: map[string]struct{}{},
	}
	k.limit.Store(FlushBytes)
	if d.Metrics != nil {
		if err := k.register(d.Metrics); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// newClient makes the transport. Its own retries are off: it knows neither
// waiting nor which items of a bulk answer were refused.
func newClient(s Settings, c *http.Client) (*elasticsearch.BaseClient, error) {
	transport := http.DefaultTransport
	if c != nil && c.Transport != nil {
		transport = c.Transport
	}
	return elasticsearch.NewBaseClient(elasticsearch.Config{
		Addresses: s.URLs, APIKey: s.APIKey.Reveal(), Username: s.Username, Password: s.Password.Reveal(),
		Transport: transport, DisableRetry: true,
		CompressRequestBody: !s.NoGzip, CompressRequestBodyLevel: 1, PoolCompressor: true,
	})
}

// Mapping gives the mapping that the sink's namespace and link make.
func (k *Sink) Mapping() Mapping { return k.mapping }

// State tells how the sink is doing.
func (k *Sink) State() State {
	k.mu.Lock()
	s := k.state
	k.mu.Unlock()
	s.Documents, s.DeadLetters, s.Retried = k.done.Load(), k.dead.Load(), k.retried.Load()
	s.Requests, s.Bytes = k.requests.Load(), k.bytes.Load()
	return s
}

// note records how a window ended, and logs each change of state once.
func (k *Sink) note(ctx context.Context, l *ledger, f *fault) {
	k.done.Add(int64(l.done))
	k.dead.Add(int64(len(l.dead)))
	k.mu.Lock()
	before := k.state
	now := time.Now().UTC()
	switch {
	case f == nil:
		k.state = State{LastSuccess: now}
	case f.halt:
		k.state = State{Paused: f.advice(), Since: now, LastSuccess: before.LastSuccess}
	default:
		k.state = State{Fault: f.String(), Since: now, LastSuccess: before.LastSuccess}
	}
	if f != nil && !before.Since.IsZero() && (before.Paused != "") == (k.state.Paused != "") {
		k.state.Since = before.Since
	}
	after := k.state
	k.mu.Unlock()
	k.logChange(ctx, before, after, f)
}

func (k *Sink) logChange(ctx context.Context, before, after State, f *fault) {
	wasDown, isDown := before.Paused+before.Fault != "", after.Paused+after.Fault != ""
	switch {
	case after.Paused != before.Paused && after.Paused != "":
		k.log.ErrorContext(ctx, "elasticsearch sink paused", "advice", after.Paused, "cause", f.String())
	case isDown && !wasDown:
		k.log.WarnContext(ctx, "elasticsearch does not take documents", "cause", f.String())
	case wasDown && !isDown:
		k.log.InfoContext(ctx, "elasticsearch takes documents again", "down", after.LastSuccess.Sub(before.Since))
	}
}

// register adds the sink's metrics, read from the same counters as its state.
func (k *Sink) register(r prometheus.Registerer) error {
	counters := []struct {
		name, help string
		value      *atomic.Int64
	}{
		{"documents_total", "Documents that Elasticsearch has.", &k.done},
		{"dead_letters_total", "Documents that Elasticsearch will not take.", &k.dead},
		{"retried_total", "Documents sent again.", &k.retried},
		{"requests_total", "Requests made.", &k.requests},
		{"bytes_total", "Bytes of bulk bodies before compression.", &k.bytes},
	}
	for _, c := range counters {
		opts := prometheus.CounterOpts{Namespace: "tocsin", Subsystem: "elasticsearch", Name: c.name, Help: c.help}
		if err := r.Register(prometheus.NewCounterFunc(opts, func() float64 { return float64(c.value.Load()) })); err != nil {
			return err
		}
	}
	return r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "tocsin", Subsystem: "elasticsearch", Name: "paused",
		Help: "1 while the sink waits for somebody to mend its configuration.",
	}, func() float64 {
		if k.State().Paused != "" {
			return 1
		}
		return 0
	}))
}
