package app

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/relay"
)

// errLost says that a lease had ended of which an outcome was to be recorded.
var errLost = errors.New("a lease had ended")

// Record stores outcomes; see relay.Queue. Those that succeeded alike are stored
// together; if one of them had lost its lease, which is rare, all is done again
// one by one.
func (q *queue) Record(ctx context.Context, outcomes []relay.Outcome) error {
	err := q.record(ctx, outcomes, q.update)
	if errors.Is(err, errLost) {
		err = q.record(ctx, outcomes, q.updateEach)
	}
	return err
}

// An update stores the new states of deliveries and gives those that it did not,
// because their lease had ended.
type update func(tx *store.Tx, outcomes []relay.Outcome) (lost map[hub.DeliveryID]bool, err error)

func (q *queue) record(ctx context.Context, outcomes []relay.Outcome, write update) error {
	disabled := false
	err := q.st.Do(ctx, func(tx *store.Tx) error {
		disabled = false
		lost, err := write(tx, outcomes)
		if err != nil {
			return err
		}
		if err := q.advance(tx, outcomes, lost); err != nil {
			return err
		}
		for i := range outcomes {
			o := &outcomes[i]
			disabled = disabled || o.Disable != ""
			if err := q.recordOne(tx, o, lost[o.Delivery.ID]); err != nil {
				return err
			}
		}
		return q.deadLetters(tx, outcomes, lost)
	})
	if err == nil && disabled {
		if err := q.rules.reload(ctx); err != nil { // recorded all the same: an error would have it recorded twice
			q.log.Error("an endpoint that was switched off is still sent to until the next change", "error", err)
		}
	}
	return err
}

// recordOne stores what an outcome says beside its delivery's state.
func (q *queue) recordOne(tx *store.Tx, o *relay.Outcome, lost bool) error {
	recordAttempt(tx, o, lost)
	if lost {
		q.log.Warn("an outcome came after its lease had ended; somebody else has the delivery", "delivery", o.Delivery.ID, "endpoint", o.Delivery.Endpoint)
		return nil
	}
	if d := &o.Delivery; d.InOrder || d.Replayed || d.Probe || d.State == hub.DeliveryHeld {
		tx.AfterCommit(q.poke)
	}
	if err := q.posted(tx, o); err != nil {
		return err
	}
	switch {
	case o.Disable != "":
		return q.disable(tx, o)
	case o.Open != nil:
		return q.open(tx, o)
	case o.Close:
		return q.close(tx, o)
	}
	return nil
}

// posted stores which messages now stand for alerts.
func (q *queue) posted(tx *store.Tx, o *relay.Outcome) error {
	if o.Attempt == nil {
		return nil
	}
	for i := range o.Attempt.Posted {
		p := &o.Attempt.Posted[i]
		if err := tx.PutPosting(p); err != nil {
			return err
		}
		if p.OfApproval() { // it may have been decided while it was being sent
			a, err := tx.Approval(p.Tenant, hub.ApprovalID(p.Alert))
			if err == nil {
				err = tx.WantApproval(a, p.Endpoint)
			}
			if err != nil && hub.KindOf(err) != hub.NotFound {
				return err
			}
		}
	}
	return nil
}

// alike says which deliveries come to the same row but for their id.
type alike struct {
	tenant           hub.TenantID
	lease            string
	attempts, status int
}

// update stores the new state of every delivery, those that succeeded alike in
// one statement.
func (q *queue) update(tx *store.Tx, outcomes []relay.Outcome) (map[hub.DeliveryID]bool, error) {
	succeeded, at, lost := map[alike][]hub.DeliveryID{}, time.Time{}, map[hub.DeliveryID]bool(nil)
	for i := range outcomes {
		d := &outcomes[i].Delivery
		if d.State != hub.DeliverySucceeded {
			kept, err := conclude(tx, &outcomes[i])
			if err != nil {
				return nil, err
			}
			lost = note(lost, d.ID, kept)
			continue
		}
		key := alike{d.Tenant, d.Lease, d.Attempts, d.Status}
		succeeded[key] = append(succeeded[key], d.ID)
		if d.UpdatedAt.After(at) {
			at = d.UpdatedAt
		}
	}
	for key, ids := range succeeded {
		n, err := tx.SucceedDeliveries(key.tenant, key.lease, ids, key.attempts, key.status, at)
		if err != nil {
			return nil, err
		}
		if n != int64(len(ids)) {
			return nil, errLost
		}
	}
	return lost, nil
}

// updateEach is update one by one.
func (q *queue) updateEach(tx *store.Tx, outcomes []relay.Outcome) (lost map[hub.DeliveryID]bool, err error) {
	for i := range outcomes {
		kept, err := conclude(tx, &outcomes[i])
		if err != nil {
			return nil, err
		}
		lost = note(lost, outcomes[i].Delivery.ID, kept)
	}
	return lost, nil
}

// note adds a delivery whose state was not kept to those that are lost.
func note(lost map[hub.DeliveryID]bool, id hub.DeliveryID, kept bool) map[hub.DeliveryID]bool {
	if kept {
		return lost
	}
	if lost == nil {
		lost = map[hub.DeliveryID]bool{}
	}
	lost[id] = true
	return lost
}

// conclude stores the state of one. What is given back stays what it was.
func conclude(tx *store.Tx, o *relay.Outcome) (bool, error) {
	mark := ""
	if o.Released() {
		mark = store.Mark(&o.Delivery)
	}
	return tx.ConcludeDelivery(&o.Delivery, mark)
}

// advance makes what waits behind deliveries that are over due.
func (q *queue) advance(tx *store.Tx, outcomes []relay.Outcome, lost map[hub.DeliveryID]bool) error {
	now := tx.Now()
	for i := range outcomes {
		d := &outcomes[i].Delivery
		if d.Key == "" || !d.State.Final() || lost[d.ID] {
			continue
		}
		moved, err := tx.Advance(d.Endpoint, d.Key, now)
		if err != nil {
			return err
		}
		if moved {
			tx.AfterCommit(q.Stored)
		}
	}
	return nil
}

// recordAttempt stores what was tried, and tells the audit log. What was tried
// under a lease that had ended is in the audit log alone: its number is taken.
func recordAttempt(tx *store.Tx, o *relay.Outcome, lost bool) {
	d := &o.Delivery
	if o.Released() || lost && o.Attempt == nil {
		return
	}
	action, verdict, digest, record := "delivery.attempt", string(d.State), "", ""
	switch {
	case o.Attempt == nil:
		action = "delivery." + string(d.State)
	case lost:
		verdict = "late"
	default:
		record = tx.AddAttempt(d.Tenant, o.Attempt)
		verdict, digest = o.Attempt.Verdict, o.Attempt.Digest
	}
	e := hub.Audited(hub.System(d.Tenant), action, "delivery", string(d.ID))
	if d.State != hub.DeliverySucceeded || lost {
		e.Outcome = hub.AuditFailure
	}
	var det hub.Details
	det.Str("digest", digest).Str("endpoint", string(d.Endpoint)).Str("error", d.Error).Str("event", string(d.EventID)).Str("kind", d.Kind).
		Int("number", int64(d.Attempts)).Str("record", record)
	if o.Attempt != nil && o.Attempt.Reference != "" {
		det.Str("reference", o.Attempt.Reference)
	}
	det.Int("status", int64(d.Status)).Str("verdict", verdict)
	e.Details = det.Value()
	tx.Audit(e)
}
