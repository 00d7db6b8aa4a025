package connectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// An Entry is one connector of the config.
type Entry struct {
	Common
	// Config decodes the whole entry strictly into the kind's own struct.
	Config func(into any) error
}

// FleetConfig is what a [Fleet] works with.
type FleetConfig struct {
	Kinds   []Kind       // connectors/list.Kinds()
	Entries []Entry      // of the config
	Store   Store        // cursors and accepted findings
	Client  *http.Client // the safe client
	Log     *slog.Logger
	Metrics *Metrics // nil: not counted

	// Alone runs one connector's pulling while no other process does it, again
	// whenever that becomes so, until ctx ends; run ends soon after its context.
	// nil: this process is the only one.
	Alone func(ctx context.Context, tenant hub.TenantID, name string, run func(context.Context))
}

// A Fleet holds every configured connector. Its methods may be called at any
// time, also before Run and after it.
type Fleet struct {
	cfg     FleetConfig
	members []*member // by name; fixed after Open
}

// A member is one connector of a fleet.
type member struct {
	common Common
	source Source
	runs   runner // its loop or its ear; nil if it neither pulls nor listens

	received, rejected atomic.Int64
}

// A runner works by itself until its context ends.
type runner interface {
	Run(ctx context.Context)
	Sync() error
	Pause()
	Resume()
	State() State
}

// Open opens every connector, and gives all problems at once. It does no I/O.
func Open(cfg FleetConfig) (*Fleet, error) {
	f := &Fleet{cfg: cfg}
	var faults []error
	for i, entry := range cfg.Entries {
		if err := f.add(entry); err != nil {
			faults = append(faults, fmt.Errorf("connectors[%d] %s: %w", i, entry.Name, err))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(append(faults, f.Close())...)
	}
	slices.SortFunc(f.members, func(a, b *member) int { return cmp.Compare(a.common.Name, b.common.Name) })
	cfg.Metrics.watch(f)
	return f, nil
}

func (f *Fleet) add(e Entry) error {
	if err := e.Check(); err != nil {
		return err
	}
	if f.find(e.Name) != nil {
		return errors.New("name: another connector has it already")
	}
	i := slices.IndexFunc(f.cfg.Kinds, func(k Kind) bool { return k.Name == e.Kind })
	if i < 0 {
		return fmt.Errorf("kind: %q is none; known are %s", e.Kind, kindNames(f.cfg.Kinds))
	}
	log := f.cfg.Log.With("connector", e.Name, "kind", e.Kind)
	m := &member{common: e.Common}
	settings := Settings{Name: e.Name, Tenant: e.Tenant, Client: f.cfg.Client, Log: log, Wake: m.wake, Config: e.Config}
	settings.Accept = func(ctx context.Context, b Batch) (Receipt, error) { return f.accept(ctx, m, b) }
	source, err := f.cfg.Kinds[i].Open(settings)
	if err != nil {
		return err
	}
	m.source = source
	m.runs = f.runner(m, log)
	f.members = append(f.members, m)
	return nil
}

// runner gives what runs for a member by itself, nil for nothing.
func (f *Fleet) runner(m *member, log *slog.Logger) runner {
	c := m.common
	puller, pulls := m.source.(Puller)
	listener, listens := m.source.(Listener)
	var loop *Loop
	var hears *ear
	if pulls {
		loop = NewLoop(LoopConfig{
			Name: c.Name, Kind: c.Kind, Tenant: c.Tenant, Puller: puller, Store: f.cfg.Store, Log: log,
			Metrics: f.cfg.Metrics, Interval: c.interval(), Paused: c.Paused,
		})
	}
	if listens {
		hears = newEar(c, listener, func(ctx context.Context, b Batch) (Receipt, error) { return f.accept(ctx, m, b) }, log)
	}
	switch {
	case pulls && listens:
		return &both{loop, hears}
	case pulls:
		return loop
	case listens:
		return hears
	}
	return nil
}

// wake asks for a pull, if the member pulls.
func (m *member) wake() {
	if m.runs != nil {
		_ = m.runs.Sync() // refused while paused, which is right
	}
}

// Run pulls and listens until ctx ends, and returns when all has ended.
func (f *Fleet) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, m := range f.members {
		if m.runs != nil {
			running.Go(func() { f.run(ctx, m) })
		}
	}
	running.Wait()
}

// run runs a member. Several processes may listen for a source; one pulls.
func (f *Fleet) run(ctx context.Context, m *member) {
	if _, pulls := m.source.(Puller); pulls && f.cfg.Alone != nil {
		f.cfg.Alone(ctx, m.common.Tenant, m.common.Name, m.runs.Run)
		return
	}
	m.runs.Run(ctx)
}

// Close closes every source. Call it after Run has returned.
func (f *Fleet) Close() error {
	var faults []error
	for _, m := range f.members {
		faults = append(faults, m.source.Close())
	}
	return errors.Join(faults...)
}

// List gives the state of every connector of the tenant, by name.
func (f *Fleet) List(tenant hub.TenantID) []State {
	states := []State{}
	for _, m := range f.members {
		if m.common.Tenant == tenant {
			states = append(states, f.state(m))
		}
	}
	return states
}

// All gives the state of every connector, by name.
func (f *Fleet) All() []State {
	states := make([]State, len(f.members))
	for i, m := range f.members {
		states[i] = f.state(m)
	}
	return states
}

// State gives the state of one connector.
func (f *Fleet) State(tenant hub.TenantID, name string) (State, error) {
	m, err := f.get(tenant, name)
	if err != nil {
		return State{}, err
	}
	return f.state(m), nil
}

func (f *Fleet) state(m *member) State {
	s := State{Name: m.common.Name, Kind: m.common.Kind, Tenant: m.common.Tenant, Phase: PhaseListening}
	if m.runs != nil {
		s = m.runs.State()
	}
	if s.Phase == PhaseStopped && s.Pulls && f.cfg.Alone != nil {
		s.Phase = PhaseStandby
	}
	_, s.Receives = m.source.(Receiver)
	s.Mirrors = m.mirrors()
	s.Counts.Received = m.received.Load()
	s.Counts.Rejected += m.rejected.Load()
	s.Places = m.places()
	if r, ok := m.source.(Reporter); ok {
		s.Report = r.Report()
	}
	return s
}

// places are where what is sent to the source is taken.
func (m *member) places() []string {
	all := []string{}
	if _, ok := m.source.(Receiver); ok {
		all = append(all, "/api/v1/ingest/"+m.common.Name)
	}
	if s, ok := m.source.(Server); ok {
		all = append(all, s.Root())
	}
	if l, ok := m.source.(Located); ok {
		all = append(all, l.Places()...)
	}
	return all
}

// Sync asks a connector to pull now. See [Loop.Sync].
func (f *Fleet) Sync(tenant hub.TenantID, name string) error {
	l, err := f.getRunner(tenant, name)
	if err != nil {
		return err
	}
	return l.Sync()
}

// Pause stops a connector's pulling or listening until Resume.
func (f *Fleet) Pause(tenant hub.TenantID, name string) error {
	l, err := f.getRunner(tenant, name)
	if err == nil {
		l.Pause()
	}
	return err
}

// Resume goes on after Pause.
func (f *Fleet) Resume(tenant hub.TenantID, name string) error {
	l, err := f.getRunner(tenant, name)
	if err == nil {
		l.Resume()
	}
	return err
}

// Test makes one harmless call to the source system.
func (f *Fleet) Test(ctx context.Context, tenant hub.TenantID, name string) error {
	m, err := f.get(tenant, name)
	if err != nil {
		return err
	}
	t, ok := m.source.(Tester)
	if !ok {
		return hub.E(hub.Conflict, "this kind of connector only listens; there is nothing to test")
	}
	return t.Test(ctx)
}

// A NamedAction is an action of one connector.
type NamedAction struct {
	Connector string `json:"connector"`
	ActionSpec
}

// Actions lists every action that the tenant's connectors offer.
func (f *Fleet) Actions(tenant hub.TenantID) []NamedAction {
	all := []NamedAction{}
	for _, m := range f.members {
		a, ok := m.source.(Actor)
		if !ok || m.common.Tenant != tenant {
			continue
		}
		for _, spec := range a.Actions() {
			all = append(all, NamedAction{Connector: m.common.Name, ActionSpec: spec})
		}
	}
	return all
}

// Do checks params against the action's spec and performs it. See [Actor.Do].
func (f *Fleet) Do(ctx context.Context, tenant hub.TenantID, name, action, key string, params jsontext.Value) (jsontext.Value, error) {
	m, err := f.get(tenant, name)
	if err != nil {
		return nil, err
	}
	actor, ok := m.source.(Actor)
	if !ok {
		return nil, hub.E(hub.Invalid, "connector "+name+" has no actions")
	}
	specs := actor.Actions()
	i := slices.IndexFunc(specs, func(s ActionSpec) bool { return s.Name == action })
	if i < 0 {
		return nil, hub.E(hub.Invalid, "connector "+name+" has no action "+action)
	}
	if err := specs[i].Check(params); err != nil {
		return nil, err
	}
	result, err := actor.Do(ctx, action, key, params)
	f.cfg.Metrics.acted(name, action, outcomeOf(err))
	return result, err
}

// Mirror gives the action that tells a source system of a change to one of its
// findings, for Do; "" if there is none to tell, or no such connector, or it is
// not to be told. See [Mirror].
func (f *Fleet) Mirror(tenant hub.TenantID, name string, change hub.EventType, sourceID string) (action string, params jsontext.Value) {
	m, err := f.get(tenant, name)
	if err != nil || !m.mirrors() {
		return "", nil
	}
	return m.source.(Mirror).Mirror(change, sourceID)
}

// mirrors reports whether the source system is told what becomes of its findings.
func (m *member) mirrors() bool {
	_, ok := m.source.(Mirror)
	return ok && (m.common.Mirror == nil || *m.common.Mirror)
}

func (f *Fleet) find(name string) *member {
	for _, m := range f.members {
		if m.common.Name == name {
			return m
		}
	}
	return nil
}

func (f *Fleet) get(tenant hub.TenantID, name string) (*member, error) {
	m := f.find(name)
	if m == nil || m.common.Tenant != tenant {
		return nil, hub.E(hub.NotFound, "there is no connector of this name")
	}
	return m, nil
}

func (f *Fleet) getRunner(tenant hub.TenantID, name string) (runner, error) {
	m, err := f.get(tenant, name)
	if err != nil {
		return nil, err
	}
	if m.runs == nil {
		return nil, hub.E(hub.Conflict, "this kind of connector only waits for requests; there is nothing to pull")
	}
	return m.runs, nil
}
