// Package app puts the hub together: it is the only package that sees all
// others, and holds no rules of its own.
//
// [New] opens everything from the store upwards, [App.Start] sets it going,
// [App.Stop] ends it in reverse order within a time limit, also after a Start
// that got half way. [Main] is the whole life of `tocsin serve`.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/list"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/outbox"
	"github.com/tocsin/tocsin/internal/ops"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/pipelines"
	"github.com/tocsin/tocsin/pipelines/dedup"
	"github.com/tocsin/tocsin/pipelines/playbook"
	"github.com/tocsin/tocsin/relay"
	"github.com/tocsin/tocsin/relay/email"
	"github.com/tocsin/tocsin/relay/pagerduty"
	"github.com/tocsin/tocsin/relay/slack"
	"github.com/tocsin/tocsin/relay/template"
	"github.com/tocsin/tocsin/relay/webhook"
)

// Options of an App.
type Options struct {
	Config  *configs.Config
	Version string
	Log     *slog.Logger
	// Env gives an environment variable, "" if it is not set.
	Env func(string) string
	// Out is told the credentials of a first start.
	Out io.Writer
	// Resolver gives the addresses of far sides; nil: the system's.
	Resolver safehttp.Resolver

	engine func(driver.Engine) driver.Engine // stands between store and database in tests; may be nil
}

// An App is a hub in one process.
type App struct {
	opts Options
	cfg  *configs.Config
	log  *slog.Logger
	reg  *prometheus.Registry

	st       *store.Store
	bus      hubBus
	outbox   *outbox.Outbox // nil without Kafka
	forward  func(ctx context.Context)
	key      *audit.Key
	keeper   *keeper
	cluster  *cluster
	client   *safehttp.Client
	fleet    *connectors.Fleet
	rules    *ruler
	findings *findings
	targets  map[string]relay.Target
	pipeline *pipelines.Pipeline
	triage   *bus.Batcher
	queue    *queue
	steward  *steward
	worker   *relay.Worker
	elastic  *elasticWriters
	keys     *keys
	sources  *sources
	slack    *slackSide
	server   *api.Server

	listener net.Listener
	cleanups []cleanup
	running  sync.WaitGroup
	failed   chan error // what ended by itself
}

// A cleanup undoes one step of New or Start.
type cleanup struct {
	name string
	undo func(ctx context.Context) error
}

func (a *App) onStop(name string, undo func(ctx context.Context) error) {
	a.cleanups = append(a.cleanups, cleanup{name, undo})
}

// New opens everything. After an error it has closed what it had opened.
func New(ctx context.Context, opts Options) (*App, error) {
	a := &App{opts: opts, cfg: opts.Config, log: opts.Log, reg: prometheus.NewRegistry(), failed: make(chan error, 1)}
	a.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"open the store", a.openStore},
		{"open the bus", a.openBus},
		{"make the first owner", func(ctx context.Context) error {
			return firstStart(ctx, a.st, a.cfg.Store.Dir, opts.Env, opts.Out)
		}},
		{"open the connectors", a.openConnectors},
		{"put the configured endpoints in place", a.syncEndpoints},
		{"make the pipeline", a.openPipeline},
		{"make the relay", a.openRelay},
		{"make the API", a.openAPI},
	} {
		if err := step.do(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", step.what, err), a.Stop(context.WithoutCancel(ctx)))
		}
	}
	return a, nil
}

func (a *App) openConnectors(ctx context.Context) error {
	a.findings = &findings{st: a.st, bus: a.bus, waiters: newWaiters(), shared: !a.cluster.alone()}
	client, err := outbound(a.cfg, a.opts.Version, a.opts.Resolver)
	if err != nil {
		return err
	}
	a.client = client
	entries := make([]connectors.Entry, len(a.cfg.Connectors))
	for i, c := range a.cfg.Connectors {
		common := connectors.Common{Name: c.Name, Kind: c.Kind, Tenant: hub.TenantID(c.Tenant), Paused: c.Paused, Interval: hub.Duration(c.Interval), Mirror: c.Mirror}
		if common.Tenant == "" {
			common.Tenant = hub.DefaultTenant
		}
		err := a.st.View(ctx, func(r *store.Reader) error { // somebody's pause outlives a restart
			row, err := r.Connector(common.Tenant, common.Name)
			common.Paused = common.Paused || row.Paused
			return err
		})
		if err != nil {
			return err
		}
		entries[i] = connectors.Entry{Common: common, Config: c.Raw.Decode}
	}
	fleet, err := connectors.Open(connectors.FleetConfig{
		Kinds: list.Kinds(), Entries: entries, Store: &cursors{st: a.st, findings: a.findings, cluster: a.cluster}, Client: a.client.HTTP(), Log: a.log,
		Metrics: connectors.NewMetrics(a.reg), Alone: a.alone(),
	})
	if err != nil {
		return err
	}
	a.fleet = fleet
	a.onStop("connectors", func(context.Context) error { return fleet.Close() })
	return nil
}

func (a *App) openPipeline(ctx context.Context) error {
	catalogue, err := ops.Catalogue(a.fleet.Actions(hub.DefaultTenant))
	if err != nil {
		return err
	}
	books, problems := playbook.Load(catalogue, a.cfg.Playbooks.Paths...)
	if err := problems.Err(); err != nil {
		return err
	}
	set, err := playbook.NewSet(books, catalogue, func(p *playbook.Playbook, ev *hub.Event, err error) {
		a.log.Warn("condition of a playbook failed; it did not run", "playbook", p.Name, "event", ev.ID, "error", err)
	})
	if err != nil {
		return err
	}
	a.rules = &ruler{st: a.st, log: a.log, shared: !a.cluster.alone(), profiles: profiles(&a.cfg.Dedup), playbooks: set}
	for _, c := range a.fleet.All() {
		a.rules.connectors = append(a.rules.connectors, connectorEndpoint(c.Tenant, c.Name))
	}
	a.rules.mirrors = mirrors(a.fleet)
	rules, err := a.rules.load(ctx)
	if err != nil {
		return err
	}
	a.elastic = newElasticWriters(a)
	if err := a.elastic.check(a.rules.all()); err != nil {
		return err
	}
	a.rules.changed = a.elastic.poke
	a.queue = newQueue(a.st, a.rules, a.cluster.owner, deliveryLease, a.log)
	a.pipeline = pipelines.New(pipelines.Options{
		Store: pipelineStore{a.st, a.bus}, Source: a.cfg.Server.BaseURL(), Relay: a.queue, Triaged: a.findings.waiters.tell, Now: a.st.Now, Log: a.log, Registry: a.reg,
	}, rules)
	a.rules.pipeline, a.findings.pipeline = a.pipeline, a.pipeline
	a.steward = newSteward(a.st, a.rules, a.cluster, a.queue, a.log)
	a.queue.poke = a.steward.poke
	a.queue.announce = func(tx *store.Tx, t hub.TenantID, typ hub.EventType, subject string, data hub.EventData) error {
		return a.pipeline.Announce(pipelineTx{tx, a.bus}, t, typ, subject, data)
	}
	return nil
}

// profiles gives the configured rules of deduplication.
func profiles(c *configs.Dedup) dedup.Profiles {
	window := hub.Duration(c.ReopenWindow)
	out := dedup.Profiles{Default: dedup.Profile{ReopenWindow: &window}, Sources: map[string]dedup.Profile{}}
	for source, p := range c.Profiles {
		own := dedup.Profile{Discriminators: p.Discriminators, SharedAsset: p.SharedAsset, Volatile: p.Volatile}
		if p.ReopenWindow != nil {
			w := hub.Duration(*p.ReopenWindow)
			own.ReopenWindow = &w
		}
		out.Sources[source] = own
	}
	return out
}

// deliveryLease is longer than any time limit that can be configured.
const deliveryLease = 6 * time.Minute

func (a *App) openRelay(ctx context.Context) error {
	link := func(subject string) string { return a.cfg.Server.BaseURL() + "/alerts/" + subject }
	texts := &template.Renderer{Link: link, Failed: a.badTemplate}
	a.targets = map[string]relay.Target{
		hub.KindWebhook:   webhook.New(webhook.Options{Client: a.client, Transform: newTransformer().body, Now: a.st.Now}),
		hub.KindSlack:     slack.New(slack.Options{Client: a.client, Link: link, Postings: postings(a.st), Buttons: hears(&a.cfg.Slack), Template: texts.Text, Now: a.st.Now}),
		hub.KindPagerDuty: pagerduty.New(pagerduty.Options{Client: a.client, Link: link, Template: texts.Text, KeyAt: a.pagerDuty().keyAt}),
		hub.KindEmail:     email.New(email.Options{Client: a.client, Link: link, Template: texts.Text, Hello: helloName(a.cfg.Server.BaseURL()), Now: a.st.Now}),
		hub.KindConnector: actor{a.fleet},
	}
	schedule := make([]hub.Duration, len(a.cfg.Relay.Schedule))
	for i, d := range a.cfg.Relay.Schedule {
		schedule[i] = hub.Duration(d)
	}
	a.worker = relay.New(relay.Options{
		Queue: a.queue, Targets: a.targets, Slots: a.cfg.Relay.Workers, Timeout: a.cfg.Relay.Timeout, Schedule: schedule,
		Jitter: &a.cfg.Relay.Jitter, Breaker: breakerRule(&a.cfg.Relay), Lease: deliveryLease, Now: a.st.Now, Log: a.log, Registry: a.reg,
	})
	a.queue.gather = func(e *hub.Endpoint) relay.Gathering { return relay.GatheringOf(a.targets[e.Kind], e) }
	return a.queue.takeOver(ctx, a.cluster.alone())
}

func (a *App) pagerDuty() *pagerDuty {
	return &pagerDuty{st: a.st, rules: a.rules, pipeline: a.pipeline, log: a.log}
}

// breakerRule is the configured rule by which an endpoint fails.
func breakerRule(c *configs.Relay) relay.Breaker {
	b := relay.Breaker{Failures: c.Breaker, Probe: c.ProbeAfter, MaxProbe: c.ProbeMax}
	if b.Failures == 0 {
		b.Failures = -1
	}
	return b
}

func (a *App) openAPI(context.Context) error {
	a.keys = newKeys(a.st)
	a.sources = &sources{fleet: a.fleet, st: a.st, cluster: a.cluster, asked: map[string]asked{}}
	a.findings.ingest = a.sources.receive
	hooks := &webhooks{
		st: a.st, rules: a.rules, source: a.cfg.Server.BaseURL(), wake: a.queue.Stored, poke: a.steward.poke, check: a.client.Check, timeout: a.cfg.Relay.Timeout,
		send: a.targets[hub.KindWebhook].Send,
	}
	h := &health{st: a.st, region: "local", lag: func() (int64, error) { return a.bus.Lag(bus.TopicFindings, triageGroup) }}
	h.checks = map[string]func() error{"bus": a.bus.Check}
	a.slack = newSlackSide(a)
	a.server = api.New(api.Deps{
		Access: a.keys, Findings: a.findings, Alerts: &alerts{st: a.st, pipeline: a.pipeline, log: a.log}, Webhooks: hooks,
		Approvals:  &approvals{st: a.st, pipeline: a.pipeline, changed: a.slack.remind},
		AlertRules: &alertRules{st: a.st, rules: a.rules, wake: a.pipeline.Wake},
		Channels: &channels{
			st: a.st, rules: a.rules, source: a.cfg.Server.BaseURL(), poke: a.steward.poke, client: a.client, targets: a.targets, timeout: a.cfg.Relay.Timeout,
		},
		Deliveries: &deliveries{st: a.st, rules: a.rules, wake: a.queue.Stored},
		Audit:      &auditLog{st: a.st, key: a.key, kept: func() ([][]byte, error) { return readCheckpoints(a.cfg.CheckpointFile()) }},
		PagerDuty:  a.pagerDuty(),
		Slack:      a.slack,
		Inventory:  newInventory(a.st, a.reg), Connectors: a.sources, Vendor: a.sources.vendor, Health: h, Version: a.opts.Version, PublicURL: a.cfg.Server.BaseURL(), BodyLimit: int64(a.cfg.Server.BodyLimit),
		ReadTimeout: a.cfg.Server.ReadTimeout, IdleTimeout: a.cfg.Server.IdleTimeout, NoMetrics: !a.cfg.Server.Metrics,
		Plan: string(a.cfg.Limits.Plan), IngestPlan: string(a.cfg.Limits.IngestPlan), Gatherer: a.reg, Registry: a.reg, Log: a.log,
	})
	return nil
}

// triageGroup is the consumer group of triage on the topic of findings.
const triageGroup = "triage"

// Start sets the hub going. It returns when it takes requests; what fails later
// comes out of [App.Failed].
func (a *App) Start(ctx context.Context) (err error) {
	a.spawn("checkpoints", a.keeper.run) // first, so that it sees the end of all others
	a.spawn("leases", a.cluster.run)
	if a.outbox != nil {
		a.spawn("outbox", a.forward)
		a.spawn("backlog", a.outbox.Look)
	}
	a.spawn("changes elsewhere", func(ctx context.Context) { a.cluster.watch(ctx, a.changed) })
	a.spawn("relay", func(ctx context.Context) { a.worker.Run(ctx) })
	a.spawn("steward", a.steward.run)
	a.spawn("cards at Slack", a.slack.run)
	if err := a.startRouter(); err != nil { // after the relay, which ends after it: what it hands over is still sent
		return err
	}
	a.spawn("elasticsearch", a.elastic.run)
	a.spawn("waiting runs", a.pipeline.RunWaiting)
	a.spawn("cleaning", a.clean)
	if a.listener, err = net.Listen("tcp", a.cfg.Server.Listen); err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	a.running.Go(func() {
		if err := a.server.Serve(a.listener); err != nil {
			a.fail(fmt.Errorf("serve HTTP: %w", err))
		}
	})
	a.onStop("HTTP", a.server.Shutdown)
	a.spawn("connectors", a.fleet.Run)
	return nil
}

// changed takes over what another node changed.
func (a *App) changed(ctx context.Context) error {
	a.keys.auth.Forget()
	err := errors.Join(a.rules.reload(ctx), a.sources.follow(ctx))
	a.queue.Stored() // what that node left undone, or made possible
	a.steward.poke()
	a.pipeline.Wake()
	return err
}

// spawn runs f until Stop, which waits for it.
func (a *App) spawn(name string, f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	a.running.Go(func() {
		defer close(done)
		f(ctx)
	})
	a.onStop(name, func(ctx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// routerClose is how long the end of a router waits for its handlers.
const routerClose = 10 * time.Second

// startRouter binds the stages to the topics.
func (a *App) startRouter() error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: routerClose}, watermill.NewSlogLogger(quiet(a.log)))
	if err != nil {
		return err
	}
	a.triage = bus.NewBatcher(bus.BatcherOptions{MaxSize: triageBatch}, a.pipeline.Triage)
	sub := a.bus.Subscriber(triageGroup, max(a.cfg.Bus.Window, 2*triageBatch))
	router.AddConsumerHandler("triage", bus.TopicFindings, sub, a.triage.Handle).AddMiddleware(bus.Report)
	ended := make(chan error, 1)
	a.spawn("router", func(ctx context.Context) {
		err := router.Run(ctx)
		ended <- err
		if err != nil {
			a.fail(fmt.Errorf("message router: %w", err))
		}
	})
	a.onStop("stages", func(context.Context) error {
		err := router.Close()
		a.triage.Close()
		return err
	})
	select {
	case <-router.Running():
		return nil
	case err := <-ended: // a subscription could not be made: it will never run
		return fmt.Errorf("start the stages: %w; look at the disk under %s and start again", err, a.cfg.Store.Dir)
	}
}

// triageBatch is how many findings are triaged in one transaction, at most. The
// window is twice that at least, so that one batch gathers while another is done.
const triageBatch = 256

// clean removes what is past its time, until ctx ends.
func (a *App) clean(ctx context.Context) {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		if err := a.forget(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("cleaning failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// forget removes first answers that nobody may ask for any more, some at a time,
// because other writers wait meanwhile.
func (a *App) forget(ctx context.Context) error {
	const some = 2000
	for {
		var n int64
		err := a.st.Do(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.ForgetIdempotent(tx.Now().Add(-idempotencyWindow), some)
			return err
		})
		if err != nil || n < some {
			return err
		}
	}
}

func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Failed tells of a part that ended by itself.
func (a *App) Failed() <-chan error { return a.failed }

// Addr is the address that the hub serves on, after Start.
func (a *App) Addr() string { return a.listener.Addr().String() }

// drain lets load balancers turn to other nodes, if there can be any, before this
// one stops taking requests.
func (a *App) drain() {
	if !a.cluster.alone() && a.cfg.Server.DrainTime > 0 {
		a.server.Drain()
		time.Sleep(a.cfg.Server.DrainTime)
	}
}

// Stop ends the hub in reverse order, within the time that ctx gives. It can be
// called after a New or Start that failed half way, and more than once.
func (a *App) Stop(ctx context.Context) error {
	var errs []error
	for len(a.cleanups) > 0 {
		c := a.cleanups[len(a.cleanups)-1]
		a.cleanups = a.cleanups[:len(a.cleanups)-1]
		if err := c.undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}
