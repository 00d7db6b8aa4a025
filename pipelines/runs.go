package pipelines

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/pipelines/dedup"
	"github.com/tocsin/tocsin/pipelines/playbook"
)

// start begins the playbooks that ev starts and takes each as far as it can go.
func (u *unit) start(s *slot, ev *hub.Event, body []byte) error {
	for _, pb := range u.rules.Playbooks.Match(ev) {
		ok, err := u.allowed(pb, ev)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		run := playbook.Start(pb, ev, u.now, hub.RunID(ident.New(hub.PrefixRun)))
		if err := u.advance(s, pb, run, ev, body); err != nil {
			return err
		}
		rec, err := u.runRecord(run, ev)
		if err != nil {
			return err
		}
		u.tx.AddRun(rec)
		if run.State == hub.RunWaiting {
			err = u.tx.PutPlaybookVersion(ev.Tenant, pb.Name, pb.Version, pb.Text, u.now)
			u.tx.AfterCommit(u.p.wakeRuns)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allowed looks at the playbook's limits, and keeps count.
func (u *unit) allowed(pb *playbook.Playbook, ev *hub.Event) (bool, error) {
	if pb.Limits.None() {
		return true, nil
	}
	key, err := pb.Limits.Key(ev, u.now)
	if err != nil {
		u.p.metrics.errors.Inc()
		return false, nil //nolint:nilerr // a limit that cannot be evaluated never lets a storm through
	}
	started, err := u.tx.PlaybookStarts(ev.Tenant, pb.Name, key, u.now.Add(-pb.Limits.Window()))
	if err != nil {
		return false, err
	}
	if ok, why := pb.Limits.Allow(started, u.now); !ok {
		e := hub.Audited(u.actor(pb.Name, ev.Tenant), "playbook.limit", "playbook", pb.Name)
		e.Details = new(hub.Details).Str("event", string(ev.ID)).Str("limit", why).Str("subject", ev.Subject).Value()
		u.tx.Audit(e)
		return false, nil
	}
	return true, u.tx.AddPlaybookStart(ev.Tenant, pb.Name, key, u.now)
}

func (u *unit) actor(name string, t hub.TenantID) hub.Principal {
	return hub.Principal{Tenant: t, Type: hub.ActorPlaybook, ID: name}
}

// advance takes a run on and carries out what its steps ask for. s is nil if the
// event is not about an alert.
func (u *unit) advance(s *slot, pb *playbook.Playbook, run *playbook.Run, ev *hub.Event, body []byte) error {
	return u.move(s, pb, run, ev, body, playbook.Advance)
}

// A mover takes a run on; see [playbook.Advance].
type mover func(pb *playbook.Playbook, run *playbook.Run, env playbook.Env, now time.Time) ([]playbook.Effect, error)

func (u *unit) move(s *slot, pb *playbook.Playbook, run *playbook.Run, ev *hub.Event, body []byte, by mover) error {
	known := len(run.Steps)
	env := playbook.Env{Event: ev}
	if s != nil {
		env.Alert = s.alert
	}
	asked := run.Asks() != nil
	effects, err := by(pb, run, env, u.now)
	if err != nil {
		return err
	}
	if asked && run.Steps[known-1].Status != playbook.StepWaiting {
		if err := u.timeOut(run, ev.Tenant); err != nil {
			return err
		}
	}
	c := cause{by: u.actor(pb.Name, ev.Tenant), depth: run.Depth + 1}
	for i := range effects {
		if err := u.perform(s, run, &effects[i], ev, body, c); err != nil {
			return fmt.Errorf("step %s of run %s: %w", effects[i].Step, run.ID, err)
		}
	}
	if known > 0 {
		known-- // the step that waited has ended
	}
	u.auditSteps(run, run.Steps[known:], ev.Tenant)
	return nil
}

// auditSteps writes each step that a run took into the audit log.
func (u *unit) auditSteps(run *playbook.Run, steps []playbook.StepResult, t hub.TenantID) {
	for i := range steps {
		e := hub.Audited(u.actor(run.Playbook, t), "playbook.step", "run", string(run.ID))
		if steps[i].Status == playbook.StepFailed {
			e.Outcome = hub.AuditFailure
		}
		e.Details = new(hub.Details).Str("error", steps[i].Error).Str("event", string(run.Event)).Str("playbook", run.Playbook).
			Str("status", string(steps[i].Status)).Str("step", steps[i].ID).Str("subject", run.Subject).Str("version", run.Version).Value()
		u.tx.Audit(e)
		u.steps = append(u.steps, string(steps[i].Status))
	}
}

// perform carries out one effect of a run.
func (u *unit) perform(s *slot, run *playbook.Run, e *playbook.Effect, ev *hub.Event, body []byte, c cause) error {
	if d, ok := e.Do.(playbook.Deliver); ok {
		return u.performDelivery(run, e.Step, &d, ev, body)
	}
	if ask, ok := e.Do.(playbook.Ask); ok {
		return u.ask(run, e.Step, &ask, ev, body)
	}
	if s == nil || s.alert == nil {
		return nil // the playbook's check refuses such steps for events without an alert
	}
	var err error
	switch do := e.Do.(type) {
	case playbook.SetAlert:
		_, err = u.act(s, setAction(&do), c)
	case playbook.Comment:
		_, err = u.act(s, dedup.Action{Kind: dedup.Update, Note: do.Text}, c)
	case playbook.Suppress:
		_, err = u.act(s, dedup.Action{Kind: dedup.Dismiss, Note: do.Reason}, c)
	}
	if k := hub.KindOf(err); k == hub.Conflict || k == hub.Invalid {
		u.refused(ev.Tenant, run, e.Step, err) // such as resolving what is resolved: no reason to hold up triage
		return nil
	}
	return err
}

func (u *unit) refused(t hub.TenantID, run *playbook.Run, step string, why error) {
	entry := hub.Audited(u.actor(run.Playbook, t), "playbook.refused", "run", string(run.ID))
	entry.Outcome = hub.AuditFailure
	entry.Details = new(hub.Details).Str("error", why.Error()).Str("step", step).Str("subject", run.Subject).Value()
	u.tx.Audit(entry)
}

func setAction(do *playbook.SetAlert) dedup.Action {
	a := dedup.Action{Kind: dedup.Update, Assignee: do.Assignee, Note: do.Note}
	if do.Status != "" {
		a.Status = &do.Status
	}
	if do.Severity != "" {
		a.Severity = &do.Severity
	}
	for name, v := range do.Labels {
		if a.Labels == nil {
			a.Labels = map[string]*string{}
		}
		a.Labels[name] = nil
		if v != "" {
			a.Labels[name] = &v
		}
	}
	return a
}

// performDelivery records the delivery that a step asks for: from then on the
// relay sees to it.
func (u *unit) performDelivery(run *playbook.Run, step string, d *playbook.Deliver, ev *hub.Event, body []byte) error {
	e := u.rules.Endpoints[string(ev.Tenant)+"/"+d.Target]
	if e == nil || d.Kind != "" && e.Kind != d.Kind {
		u.refused(ev.Tenant, run, step, fmt.Errorf("there is no %s endpoint named %q", d.Kind, d.Target))
		u.p.opts.Log.Warn("playbook step has no endpoint", "run", run.ID, "playbook", run.Playbook, "step", step, "endpoint", d.Target)
		return nil
	}
	action := d.Action
	if action == "" || action == hub.ActionPost && e.Kind != hub.KindSlack {
		action = subscriptionAction(e.Kind, ev.Type)
	}
	x := hub.Delivery{Run: run.ID, Step: step, Params: d.Params}
	if d.Timeout > 0 || d.Retry != nil {
		x.Options = &hub.DeliveryOptions{Timeout: hub.Duration(d.Timeout), Retry: d.Retry}
	}
	u.deliver(ev, body, e, action, x)
	return nil
}

func (u *unit) runRecord(run *playbook.Run, ev *hub.Event) (*hub.RunRecord, error) {
	doc, err := run.Encode()
	if err != nil {
		return nil, err
	}
	rec := &hub.RunRecord{
		ID: run.ID, Tenant: ev.Tenant, Playbook: run.Playbook, Version: run.Version, State: run.State, DueAt: run.Due,
		EventSeq: ev.Sequence, Doc: doc,
	}
	if ev.Data.Alert != nil {
		rec.Alert = ev.Data.Alert.ID
	}
	return rec, nil
}

// Wake has waiting runs looked at anew: another node may have died with its own.
func (p *Pipeline) Wake() { p.wakeRuns() }

// wakeRuns tells the loop of waiting runs to look again.
func (p *Pipeline) wakeRuns() {
	select {
	case p.runs <- struct{}{}:
	default:
	}
}

// runsAtOnce is how many waiting runs go on in one transaction.
const runsAtOnce = 50

// RunWaiting lets waiting runs go on when their time has come, also those that
// were waiting before a restart, until ctx ends.
func (p *Pipeline) RunWaiting(ctx context.Context) {
	const idle = time.Minute
	for ctx.Err() == nil {
		next, err := p.resume(ctx)
		wait := idle
		if err != nil {
			p.opts.Log.Error("waiting playbook runs cannot go on", "error", err)
			wait = time.Second
		} else if !next.IsZero() {
			wait = min(max(next.Sub(p.opts.Now()), 10*time.Millisecond), idle)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-p.runs:
		case <-t.C:
		}
		t.Stop()
	}
}

// resume takes the runs that are due on and tells when the next is.
func (p *Pipeline) resume(ctx context.Context) (next time.Time, err error) {
	err = p.opts.Store.Do(ctx, func(tx Tx) error {
		due, err := tx.DueRuns(p.now(), runsAtOnce)
		if err != nil {
			return err
		}
		for i := range due {
			if err := p.resumeOne(tx, &due[i]); err != nil {
				return err
			}
		}
		if next, err = tx.NextRunDue(); err != nil {
			return err
		}
		summary, err := p.summarize(tx)
		if err != nil {
			return err
		}
		held, err := p.tellHeld(tx)
		for _, at := range []time.Time{summary, held} {
			if !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		return err
	})
	return next, err
}

// summarize tells of what was held back of flapping alerts, where it is time,
// and when it will be next.
func (p *Pipeline) summarize(tx Tx) (time.Time, error) {
	due, err := tx.DueIdentities(p.now(), runsAtOnce)
	if err != nil {
		return time.Time{}, err
	}
	for i := range due {
		u := p.newUnit(tx)
		id := &due[i]
		if err := u.load(id.Tenant, []hub.Fingerprint{id.Fingerprint}); err != nil {
			return time.Time{}, err
		}
		s := u.slots[id.Fingerprint]
		if d, ok := dedup.Summarize(s.state, s.alert, u.now); ok {
			if _, err := u.decided(s, &d, cause{by: hub.System(id.Tenant)}); err != nil {
				return time.Time{}, err
			}
		}
		s.touched = true // also where nothing is told any more, so that it is not due for ever
		if err := u.finish(); err != nil {
			return time.Time{}, err
		}
	}
	return tx.NextIdentityDue()
}

// resumeOne takes one waiting run on. Each has a unit of its own, because what
// one changes another may read.
func (p *Pipeline) resumeOne(tx Tx, rec *hub.RunRecord) error {
	u := p.newUnit(tx)
	if err := u.goOn(rec, playbook.Advance); err != nil {
		return err
	}
	return u.finish()
}

// goOn takes a stored run on and stores what it has come to.
func (u *unit) goOn(rec *hub.RunRecord, by mover) error {
	run, ev, body, pb, err := u.recall(rec)
	if err != nil {
		return u.failRun(rec, run, err)
	}
	var s *slot
	if rec.Alert != "" {
		if s, err = u.loadAlert(rec.Tenant, rec.Alert); err != nil && hub.KindOf(err) == hub.Internal {
			return err
		}
	}
	if err := u.move(s, pb, run, ev, body, by); err != nil {
		return err
	}
	next, err := u.runRecord(run, ev)
	if err != nil {
		return err
	}
	if run.State == hub.RunWaiting {
		u.tx.AfterCommit(u.p.wakeRuns)
	}
	return u.tx.UpdateRun(next)
}

// recall reads a stored run with its event and the version of the playbook that
// it began with.
func (u *unit) recall(rec *hub.RunRecord) (*playbook.Run, *hub.Event, []byte, *playbook.Playbook, error) {
	run, err := playbook.DecodeRun(rec.Doc)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	bodies, err := u.tx.EventBodies(rec.Tenant, []int64{rec.EventSeq})
	if err != nil {
		return run, nil, nil, nil, err
	}
	ev := new(hub.Event)
	body := bodies[rec.EventSeq]
	if err := json.Unmarshal(body, ev); err != nil {
		return run, nil, nil, nil, fmt.Errorf("read event %d: %w", rec.EventSeq, err)
	}
	pb, err := u.rules.Playbooks.Resolve(rec.Playbook, rec.Version, func() ([]byte, error) {
		return u.tx.PlaybookVersion(rec.Tenant, rec.Playbook, rec.Version)
	})
	return run, ev, body, pb, err
}

// failRun ends a run that can never go on, instead of trying it for ever.
func (u *unit) failRun(rec *hub.RunRecord, run *playbook.Run, why error) error {
	if hub.KindOf(why) == hub.Transient {
		return why
	}
	u.p.opts.Log.Error("playbook run cannot go on", "run", rec.ID, "playbook", rec.Playbook, "error", why)
	rec.State, rec.DueAt = hub.RunFailed, time.Time{}
	if run != nil {
		run.State, run.EndedAt, run.Due = hub.RunFailed, u.now, time.Time{}
		run.Steps = append(slices.Clip(run.Steps), playbook.StepResult{ID: "(resume)", Status: playbook.StepFailed, At: u.now, Error: why.Error()})
		if doc, err := run.Encode(); err == nil {
			rec.Doc = doc
		}
	}
	e := hub.Audited(u.actor(rec.Playbook, rec.Tenant), "playbook.fail", "run", string(rec.ID))
	e.Outcome, e.Details = hub.AuditFailure, new(hub.Details).Str("error", why.Error()).Value()
	u.tx.Audit(e)
	if err := u.withdraw(rec.Tenant, rec.ID); err != nil {
		return err
	}
	return u.tx.UpdateRun(rec)
}
