package playbook

import (
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
)

// An Env is what a run sees of the world while it advances.
type Env struct {
	// Event is the one that started the run.
	Event *hub.Event
	// Alert is the run's alert as it is now; nil for the one in Event.
	Alert *hub.Alert
}

// Start makes a run of p because of ev. [Advance] takes its first step.
func Start(p *Playbook, ev *hub.Event, now time.Time, id hub.RunID) *Run {
	now = hub.Truncate(now)
	return &Run{
		Format: runFormat, ID: id, Playbook: p.Name, Version: p.Version,
		Event: ev.ID, Type: ev.Type, Subject: ev.Subject, Depth: ev.Data.Depth,
		State: hub.RunWaiting, Due: now, StartedAt: now, Steps: make([]StepResult, 0, len(p.Steps)),
	}
}

// Advance moves the run as far as it can go now and gives what its steps ask
// for. Afterwards run.State says whether it is done, failed or waits until
// run.Due; a run that has ended or is not yet due is left as it is.
//
// It fails only if p is not the version that the run was started with; that a
// step fails is part of the run.
func Advance(p *Playbook, run *Run, env Env, now time.Time) ([]Effect, error) {
	return advance(p, run, env, now, len(p.Steps)+1)
}

// advance is Advance that comes to at most so many steps.
func advance(p *Playbook, run *Run, env Env, now time.Time, steps int) ([]Effect, error) {
	if p.Name != run.Playbook || p.Version != run.Version {
		return nil, fmt.Errorf("run %s is of playbook %s version %s, not %s version %s", run.ID, run.Playbook, run.Version, p.Name, p.Version)
	}
	now = hub.Truncate(now)
	if run.State != hub.RunWaiting || now.Before(run.Due) {
		return nil, nil
	}
	m := newMachine(p, run, env, now)
	m.wake()
	for ; steps > 0 && run.State == hub.RunWaiting && !now.Before(run.Due); steps-- {
		if len(run.Steps) == len(p.Steps) {
			m.end(hub.RunDone)
			break
		}
		m.step(&p.Steps[len(run.Steps)])
	}
	return m.effects, nil
}

// A machine is one advance of one run.
type machine struct {
	run     *Run
	now     time.Time
	vars    expr.Vars
	self    expr.Run
	seen    []expr.Step // of run.Steps, for expressions
	ids     []string
	effects []Effect
}

func newMachine(p *Playbook, run *Run, env Env, now time.Time) *machine {
	m := &machine{run: run, now: now, seen: make([]expr.Step, 0, len(p.Steps)), ids: make([]string, 0, len(p.Steps))}
	m.self = expr.Run{ID: run.ID, Playbook: run.Playbook, Version: run.Version, StartedAt: run.StartedAt}
	m.vars = expr.Vars{Event: env.Event, Alert: env.Alert, Now: now, Run: &m.self, Step: m.result}
	if env.Alert == nil {
		m.vars.Alert = env.Event.Data.Alert
	}
	for i := range run.Steps {
		m.show(&run.Steps[i])
	}
	return m
}

// show lets expressions see a result.
func (m *machine) show(r *StepResult) {
	m.seen = append(m.seen, expr.Step{Status: string(r.Status), At: r.At, Error: r.Error, Output: r.Output})
	m.ids = append(m.ids, r.ID)
	m.vars.StepIDs = m.ids
}

func (m *machine) result(id string) *expr.Step {
	for i, known := range m.ids {
		if known == id {
			return &m.seen[i]
		}
	}
	return nil
}

// wake ends the wait of the step that the run stands at.
func (m *machine) wake() {
	n := len(m.run.Steps)
	if n == 0 || m.run.Steps[n-1].Status != StepWaiting {
		return
	}
	r := &m.run.Steps[n-1]
	stop := r.OnTimeout == Stop
	r.Status, r.At = StepDone, m.now
	if r.OnTimeout != "" {
		timedOut(r, m.run.Due)
	}
	m.seen[n-1] = expr.Step{Status: string(r.Status), At: r.At, Error: r.Error, Output: r.Output}
	if stop {
		m.end(hub.RunFailed)
	}
}

func (m *machine) end(s hub.RunState) {
	m.run.State, m.run.EndedAt, m.run.Due = s, m.now, time.Time{}
}

// step takes one step and records its result.
func (m *machine) step(s *Step) {
	r := StepResult{ID: s.ID, Status: StepDone, At: m.now}
	if s.cond != nil {
		ok, err := s.cond.Test(&m.vars)
		if !ok {
			r.Status = StepSkipped
			if err != nil {
				r.Error = "if: " + err.Error()
			}
			m.record(r)
			return
		}
	}
	err := m.take(s, &r)
	if err != nil {
		r.Status, r.Error = StepFailed, err.Error()
	}
	m.record(r)
	if err != nil && s.OnError == Stop {
		m.end(hub.RunFailed)
	}
}

func (m *machine) record(r StepResult) {
	m.run.Steps = append(m.run.Steps, r)
	m.show(&r)
}

// take plans the step once, or for each item. Items before one that fails keep
// what they asked for.
func (m *machine) take(s *Step, r *StepResult) error {
	if s.forEach == nil {
		return m.plan(s, s.ID, r)
	}
	list, err := s.forEach.JSON(&m.vars)
	if err != nil {
		return fmt.Errorf("for_each: %w", err)
	}
	items, err := elements(list)
	if err != nil {
		return fmt.Errorf("for_each: %w", err)
	}
	defer func() { m.vars.Item = nil }()
	for i, item := range items {
		m.vars.Item = item
		if err := m.plan(s, s.ID+"["+strconv.Itoa(i)+"]", r); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
		r.Items++
	}
	return nil
}

// elements splits a JSON list.
func elements(list jsontext.Value) ([]jsontext.Value, error) {
	if list.Kind() != '[' {
		return nil, fmt.Errorf("gives %.40s, want a list", list)
	}
	var items []jsontext.Value
	if err := unmarshalStrict(list, &items); err != nil {
		return nil, err
	}
	if len(items) > MaxItems {
		return nil, fmt.Errorf("gives %d items, at most %d are taken", len(items), MaxItems)
	}
	return items, nil
}

// plan evaluates the step's inputs and asks its action what is to be done.
func (m *machine) plan(s *Step, key string, r *StepResult) error {
	call := Call{Event: m.vars.Event, Alert: m.vars.Alert, Now: m.now, Timeout: s.Timeout, Retry: s.Retry}
	var err error
	if call.Params, err = m.inputs(s); err != nil {
		return err
	}
	out, err := s.action.Plan(call)
	if err != nil {
		return err
	}
	for _, e := range out.Effects {
		m.add(s, key, e)
	}
	if out.Output != nil {
		if r.Output, err = expr.Encode(out.Output); err != nil {
			return err
		}
	}
	if out.WaitUntil.After(m.now) {
		r.Status, r.OnTimeout, m.run.Due = StepWaiting, out.OnTimeout, out.WaitUntil
	}
	return nil
}

func (m *machine) inputs(s *Step) (map[string]any, error) {
	params := make(map[string]any, len(s.with))
	for i := range s.with {
		w := &s.with[i]
		v, err := w.value.eval(&m.vars)
		if err != nil {
			return nil, fmt.Errorf("with.%s: %w", w.name, err)
		}
		if v == nil && !w.spec.Required {
			continue // as if it were not there
		}
		if params[w.name], err = w.spec.convert(v); err != nil {
			return nil, fmt.Errorf("with.%s %w", w.name, err)
		}
		if w.spec.Required && params[w.name] == "" {
			return nil, fmt.Errorf("with.%s is empty", w.name)
		}
	}
	return params, nil
}

// add keeps an effect. What it changes of the alert is seen by the steps that
// follow, as it is by those that run after the caller has carried it out.
func (m *machine) add(s *Step, key string, p Planned) {
	if p.Part != "" {
		key += "/" + p.Part
	}
	m.effects = append(m.effects, Effect{Step: key, Uses: s.Uses, Do: p.Do})
	if set, ok := p.Do.(SetAlert); ok {
		m.vars.Alert = set.apply(m.vars.Alert)
	}
}
