// Package pipelines puts the stages in order: a finding is deduplicated into an
// alert, the change starts playbooks, and the events go to the endpoints that
// want them. See [unit.change] for the flow in one function.
//
// Everything that follows from a window of findings is written in one
// transaction: alerts, the state of their identities, timelines, events, runs
// of playbooks, deliveries and audit entries. A finding that was triaged before
// (its message came again after a crash) changes nothing, so each finding
// counts once. What people do with alerts and what waiting playbooks do later
// goes through the same function.
//
// It reads topic findings and writes topic events. Sending is left to relay,
// which works off the deliveries.
package pipelines

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/pipelines/dedup"
	"github.com/tocsin/tocsin/pipelines/playbook"
	"github.com/tocsin/tocsin/pipelines/route"
	"github.com/tocsin/tocsin/pipelines/rules"
)

// A Store runs changes in transactions.
type Store interface {
	// Do runs fn in a transaction and returns when it is durable. fn may run more
	// than once and must not wait.
	Do(ctx context.Context, fn func(tx Tx) error) error
}

// A Tx is a transaction in terms of what triage keeps.
type Tx interface {
	// SourceFindings gives, of the sources named, their own ids of the findings of
	// an alert, with what each said last.
	SourceFindings(t hub.TenantID, alert hub.AlertID, sources []string) ([]hub.SourceFinding, error)
	Triaged(hub.TenantID, []hub.FindingID) (map[hub.FindingID]hub.Triage, error)
	Identities(hub.TenantID, []hub.Fingerprint) (map[hub.Fingerprint]hub.Identity, error)
	Alerts(hub.TenantID, []hub.AlertID) (map[hub.AlertID]*hub.Alert, error)
	// Sighted tells when a delivery key was first seen, in microseconds, or 0.
	Sighted(origin string, key [16]byte) (int64, error)

	AddFinding(f *hub.Finding, t hub.Triage, doc []byte)
	AddSighting(t hub.TenantID, origin string, key [16]byte, at int64) error
	PutIdentity(id hub.Identity, fresh bool) error
	// PutAlert stores a, whose encoding is doc, in place of old (nil: none).
	PutAlert(a, old *hub.Alert, doc []byte) error
	AddChange(hub.TenantID, *hub.Change)
	NextSequence() int64
	// NewDeliveryID gives a name that sorts behind those of all deliveries before,
	// also of other transactions that were committed by whomever.
	NewDeliveryID() hub.DeliveryID
	AddEvent(hub.EventRecord)
	AddDelivery(*hub.Delivery)

	AddRun(*hub.RunRecord)
	UpdateRun(*hub.RunRecord) error
	PutPlaybookVersion(t hub.TenantID, name, version string, text []byte, now time.Time) error
	PlaybookVersion(t hub.TenantID, name, version string) ([]byte, error)
	// PlaybookStarts tells when a playbook with limits started since a time.
	PlaybookStarts(t hub.TenantID, name, key string, since time.Time) ([]time.Time, error)
	AddPlaybookStart(t hub.TenantID, name, key string, at time.Time) error
	EventBodies(hub.TenantID, []int64) (map[int64][]byte, error)
	DueRuns(now time.Time, limit int) ([]hub.RunRecord, error)
	NextRunDue() (time.Time, error)
	Run(t hub.TenantID, id hub.RunID) (hub.RunRecord, error)
	// PutApproval stores a question that a run waits on, new or changed, and has the
	// messages that ask it show it as it is.
	PutApproval(*hub.Approval) error
	Approval(t hub.TenantID, id hub.ApprovalID) (*hub.Approval, error)
	// WaitingApproval gives what a run waits on, nil if there is none.
	WaitingApproval(t hub.TenantID, run hub.RunID) (*hub.Approval, error)
	// DueIdentities are those with changes held back whose time has come.
	DueIdentities(now time.Time, limit int) ([]hub.Identity, error)
	NextIdentityDue() (time.Time, error)

	// RuleState gives what an alert rule has done; the zero value if nothing.
	RuleState(hub.TenantID, hub.RuleID) (hub.RuleState, error)
	PutRuleState(hub.TenantID, hub.RuleID, *hub.RuleState) error
	// RuleFirings gives which rules told of an alert or held it back.
	RuleFirings(hub.TenantID, hub.AlertID) ([]hub.RuleFiring, error)
	AddRuleFiring(*hub.RuleFiring) // of an alert that the rule meets for the first time
	PutRuleFiring(*hub.RuleFiring) error
	DeleteRuleFirings(hub.TenantID, hub.AlertID) error
	// DueRules are alert rules, by tenant and id, that are to tell of what they held back.
	DueRules(now time.Time, limit int) ([]hub.AlertRule, error)
	NextRuleDue() (time.Time, error)

	Audit(hub.AuditEntry)
	AfterCommit(func())
	AfterFailure(func())
	// Publish puts messages on the bus in this transaction.
	Publish(topic string, msgs ...*message.Message) error
}

// Relay sends deliveries. Its methods are called inside transactions or right
// after their commit, and must not wait.
type Relay interface {
	// Admit says how a new delivery to e is stored: it sets state, due time, lease
	// and key of d. It reports whether d is to be handed over in memory after the
	// commit, beside n others of its transaction; then it is stored as leased.
	Admit(e *hub.Endpoint, d *hub.Delivery, n int, now time.Time) bool
	// Handoff gives deliveries that are stored as leased.
	Handoff([]*hub.Delivery)
	// Doubt gives those of which it is not known whether they are stored so.
	Doubt([]*hub.Delivery)
	// Stored tells that there are new deliveries in the store.
	Stored()
}

// Rules are what triage works by. They are replaced as a whole when the
// configuration changes.
type Rules struct {
	Profiles  dedup.Profiles
	Playbooks *playbook.Set
	Routes    *route.Table
	Alerting  *rules.Table // nil: there are no alert rules
	// PublishEvents puts events on the bus; without a consumer of the topic that
	// would be work for nothing.
	PublishEvents bool
	// Endpoints by tenant, slash, and the name that playbooks use.
	Endpoints map[string]*hub.Endpoint
	// ByID are the same by their ids, for alert rules.
	ByID map[hub.EndpointID]*hub.Endpoint
	// Mirrors by tenant, slash, and the name of the source.
	Mirrors map[string]Mirror
}

// A Mirror tells a source system what becomes of its findings here.
type Mirror struct {
	Endpoint *hub.Endpoint // stands for the source's actions
	// Action gives the call for a change of the finding with this id of the
	// source's; "" if the source has none for it.
	Action func(change hub.EventType, sourceID string) (action string, params jsontext.Value)
}

// Options of a pipeline.
type Options struct {
	Store  Store
	Source string // the hub's own URI, which is the source of its events
	// Relay sends the deliveries.
	Relay Relay
	// Triaged is told what became of findings, after that is durable. It must not
	// wait.
	Triaged  func([]hub.Triage)
	Log      *slog.Logger
	Registry prometheus.Registerer
	Now      func() time.Time // nil: the clock
}

// A Pipeline triages findings and changes alerts. Its methods may be called by
// any number of goroutines.
type Pipeline struct {
	opts    Options
	rules   atomic.Pointer[Rules]
	metrics metrics
	runs    chan struct{} // tells that a run waits
}

// New makes a pipeline that works by rules.
func New(opts Options, rules *Rules) *Pipeline {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	p := &Pipeline{opts: opts, metrics: newMetrics(opts.Registry), runs: make(chan struct{}, 1)}
	p.SetRules(rules)
	return p
}

// SetRules makes everything from now on work by other rules.
func (p *Pipeline) SetRules(r *Rules) { p.rules.Store(r) }

// Rules gives the rules in force.
func (p *Pipeline) Rules() *Rules { return p.rules.Load() }

func (p *Pipeline) now() time.Time { return hub.Truncate(p.opts.Now()) }

type metrics struct {
	findings *prometheus.CounterVec // by outcome
	events   *prometheus.CounterVec // by type
	steps    *prometheus.CounterVec // by status
	errors   prometheus.Counter     // conditions that failed to evaluate
}

// count adds what a unit did.
func (m *metrics) count(u *unit) {
	for _, t := range u.events {
		m.events.WithLabelValues(t).Inc()
	}
	for _, st := range u.steps {
		m.steps.WithLabelValues(st).Inc()
	}
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_findings_triaged_total", Help: "Findings triaged, by outcome."}, []string{"outcome"}),
		events:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_events_total", Help: "Events made, by type."}, []string{"type"}),
		steps:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_playbook_steps_total", Help: "Steps of playbooks run, by status."}, []string{"status"}),
		errors:   prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_condition_errors_total", Help: "Conditions of playbooks and filters of endpoints that could not be evaluated and so did not match."}),
	}
	if reg != nil {
		reg.MustRegister(m.findings, m.events, m.steps, m.errors)
	}
	return m
}
