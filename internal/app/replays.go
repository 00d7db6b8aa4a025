package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/glob"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/store"
)

const (
	// replayChunk is how many deliveries of a replay are made due together, and only
	// when those before them are nearly gone.
	replayChunk = 128
	// replaySlack is how much earlier than its time an id may have been made: ids are
	// of the clock at that moment, times of when the work on the event began.
	replaySlack = time.Minute
	// shownReplays is how many replays of an endpoint are listed.
	shownReplays = 100
)

// Replay sends an endpoint's deliveries of a range of time again, or only counts
// them. It returns when the replay is recorded; the steward does it.
func (w *webhooks) Replay(ctx context.Context, p hub.Principal, id hub.EndpointID, spec api.ReplaySpec, idem api.Idempotency) (*hub.Replay, error) {
	if !p.Can("webhooks:update") {
		return nil, hub.E(hub.Forbidden, "this needs the permission webhooks:update")
	}
	e, err := w.Endpoint(ctx, p.Tenant, id)
	if err != nil {
		return nil, err
	}
	r, err := newReplay(p, e, &spec, hub.Truncate(w.st.Now()))
	if err != nil {
		return nil, err
	}
	err = w.st.View(ctx, func(rd *store.Reader) (err error) {
		if r.Last, err = rd.LastDeliveryID(r.CreatedAt); err != nil {
			return err
		}
		r.Total, err = rd.CountReplay(r, replayFloor(r))
		return err
	})
	if err != nil || spec.DryRun {
		return r, err
	}
	err = w.st.Do(ctx, func(tx *store.Tx) error {
		if err := recall(tx, p.Tenant, idem); err != nil {
			return err
		}
		tx.Audit(replayEntry(p, "webhook.replay", r))
		tx.AfterCommit(w.poke)
		tx.NoteChange() // the steward may be another node's
		if err := tx.PutReplay(r); err != nil {
			return err
		}
		return remember(tx, p.Tenant, idem, r)
	})
	return r, err
}

func newReplay(p hub.Principal, e *hub.Endpoint, spec *api.ReplaySpec, now time.Time) (*hub.Replay, error) {
	r := &hub.Replay{
		ID: hub.ReplayID(ident.New(hub.PrefixReplay)), Tenant: p.Tenant, Endpoint: e.ID, State: hub.ReplayRunning,
		Since: hub.Truncate(spec.Since), Until: hub.Truncate(spec.Until), States: spec.States,
		CreatedAt: now, UpdatedAt: now, CreatedBy: p.Name(),
	}
	if r.Until.IsZero() {
		r.Until = now
	}
	fields := replayTypes(r, spec.Events)
	if r.Since.IsZero() {
		fields = append(fields, hub.Field{Pointer: "/since", Detail: "is missing: from when on to send again"})
	} else if !r.Since.Before(r.Until) {
		fields = append(fields, hub.Field{Pointer: "/since", Detail: "must be before until"})
	}
	if len(fields) > 0 {
		return nil, &hub.Error{Kind: hub.Invalid, Msg: fields[0].Pointer[1:] + " " + fields[0].Detail, Fields: fields}
	}
	return r, nil
}

// replayTypes turns globs into the event types they stand for. Trials of the
// endpoint are no events to send again.
func replayTypes(r *hub.Replay, globs []string) (fields []hub.Field) {
	if len(globs) == 0 {
		globs = []string{"*"}
	}
	for i, g := range globs {
		if err := glob.Validate(g); err != nil {
			fields = append(fields, hub.Field{Pointer: fmt.Sprintf("/events/%d", i), Detail: err.Error()})
		}
	}
	for _, t := range hub.EventTypes {
		for _, g := range globs {
			if t != hub.WebhookTest && glob.Match(g, t) {
				r.Events = append(r.Events, t)
				break
			}
		}
	}
	if len(r.Events) == 0 && len(fields) == 0 {
		fields = append(fields, hub.Field{Pointer: "/events", Detail: "match only webhook.test, which is not sent again"})
	}
	return fields
}

// replayFloor is an id before which no delivery of the replay can be.
func replayFloor(r *hub.Replay) hub.DeliveryID {
	return hub.DeliveryID(ident.Floor(hub.PrefixDelivery, r.Since.Add(-replaySlack)))
}

func replayEntry(p hub.Principal, action string, r *hub.Replay) hub.AuditEntry {
	e := hub.Audited(p, action, "webhook", string(r.Endpoint))
	e.Details = new(hub.Details).Int("done", r.Done).Str("replay", string(r.ID)).Str("since", r.Since.Format(time.RFC3339Nano)).
		Int("skipped", r.Skipped).Str("state", string(r.State)).Int("total", r.Total).Str("until", r.Until.Format(time.RFC3339Nano)).Value()
	return e
}

// Replays shows the newest replays of an endpoint.
func (w *webhooks) Replays(ctx context.Context, t hub.TenantID, id hub.EndpointID) (all []*hub.Replay, err error) {
	if _, err := w.Endpoint(ctx, t, id); err != nil {
		return nil, err
	}
	err = w.st.View(ctx, func(r *store.Reader) error {
		all, err = r.Replays(t, id, shownReplays)
		return err
	})
	return all, err
}

// ReplayState shows one replay.
func (w *webhooks) ReplayState(ctx context.Context, t hub.TenantID, id hub.ReplayID) (p *hub.Replay, err error) {
	err = w.st.View(ctx, func(r *store.Reader) error {
		p, err = r.Replay(t, id)
		return err
	})
	return p, err
}

// CancelReplay stops a replay. The few that are due already are still sent.
func (w *webhooks) CancelReplay(ctx context.Context, p hub.Principal, id hub.ReplayID) (*hub.Replay, error) {
	if !p.Can("webhooks:update") {
		return nil, hub.E(hub.Forbidden, "this needs the permission webhooks:update")
	}
	var r *hub.Replay
	err := w.st.Do(ctx, func(tx *store.Tx) (err error) {
		if r, err = tx.Replay(p.Tenant, id); err != nil || r.State == hub.ReplayCancelled {
			return err
		}
		if r.State != hub.ReplayRunning {
			return hub.E(hub.Conflict, "the replay is over already")
		}
		r.State, r.UpdatedAt = hub.ReplayCancelled, hub.Truncate(tx.Now())
		tx.Audit(replayEntry(p, "webhook.replay.cancel", r))
		return tx.PutReplay(r)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// replay takes each replay on a little.
func (s *steward) replay(ctx context.Context) (time.Duration, error) {
	var all []*hub.Replay
	err := s.st.View(ctx, func(r *store.Reader) (err error) {
		all, err = r.RunningReplays()
		return err
	})
	if err != nil || len(all) == 0 {
		return stewardIdle, err
	}
	var errs []error
	for _, r := range all {
		errs = append(errs, s.replayOne(ctx, r))
	}
	return stewardWait, errors.Join(errs...) // or when poked: what was replayed is concluded
}

// replayOne makes the next deliveries of a replay due, if those before them are
// nearly gone and the endpoint takes deliveries. What they are is looked for
// outside of the transaction, because it may take long to find them.
func (s *steward) replayOne(ctx context.Context, r *hub.Replay) error {
	e := s.rules.endpoint(r.Endpoint)
	if e != nil && s.rules.holds(e) {
		return nil
	}
	chunk := s.chunk(replayChunk)
	var next []hub.Delivery
	err := s.st.View(ctx, func(rd *store.Reader) error {
		left, err := rd.Replayed(r.Endpoint, chunk)
		if err != nil || left > int64(chunk/2) {
			next = nil
			return errors.Join(err, errEnough)
		}
		next, err = rd.ReplayDeliveries(r, replayFloor(r), chunk)
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.do(ctx, func(tx *store.Tx) error {
		now, err := tx.Replay(r.Tenant, r.ID)
		if err != nil || now.State != hub.ReplayRunning || now.Place != r.Place {
			return err
		}
		if e == nil {
			now.State = hub.ReplayCancelled
		} else if err := takeOn(tx, now, next, len(next) < chunk); err != nil {
			return err
		}
		now.UpdatedAt = hub.Truncate(tx.Now())
		if now.State != hub.ReplayRunning {
			tx.Audit(replayEntry(hub.System(now.Tenant), "webhook.replay."+string(now.State), now))
		}
		tx.AfterCommit(s.wake)
		return tx.PutReplay(now)
	})
}

// errEnough says that enough replayed deliveries wait to be sent.
var errEnough = errors.New("enough is due")

// takeOn makes the next deliveries of r due, as they are by now. last says that
// there are no more.
func takeOn(tx *store.Tx, r *hub.Replay, next []hub.Delivery, last bool) error {
	var again []hub.DeliveryID
	for i := range next {
		d, err := tx.Delivery(r.Tenant, next[i].ID)
		if err != nil {
			return err
		}
		if d.State.Final() || d.State == hub.DeliveryRetrying {
			again = append(again, d.ID)
		} else {
			r.Skipped++ // it is on its way already
		}
		r.Place = d.ID
	}
	if r.Done += int64(len(next)); last {
		r.State = hub.ReplayDone
	}
	return tx.Rearm(again, hub.Truncate(tx.Now()))
}
