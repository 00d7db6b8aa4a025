package relay

import (
	"context"
	"log/slog"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// recorded tells that outcomes are durable, or given up.
type recorded struct {
	outcomes []Outcome
}

// record hands over what there is to record. What comes meanwhile goes into
// the next call, so that batches grow with the load.
func (r *run) record() {
	if len(r.outcomes) == 0 || r.recording >= maxRecords {
		return
	}
	batch := r.outcomes
	r.outcomes = make([]Outcome, 0, cap(batch))
	r.recording++
	r.unwritten += len(batch)
	go func() { // the loop, or drain after it, waits for the answer
		r.write(batch)
		r.records <- recorded{batch}
	}()
}

// wrote notes that outcomes are recorded: when they fall due again, and that
// claims from now on see which endpoints among them are switched off or fail.
func (r *run) wrote(rec recorded) {
	r.recording--
	r.unwritten -= len(rec.outcomes)
	for i := range rec.outcomes {
		o := &rec.outcomes[i]
		r.due = earlier(r.due, o.Delivery.DueAt)
		if o.Disable != "" || o.Open != nil {
			if l := r.lanes.byID[o.Delivery.Endpoint]; l != nil {
				l.gone = r.claimed
			}
		}
	}
}

// Waits between attempts to record.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// write records outcomes, however long it takes: to forget what was sent means
// to send it again. It gives up only for deliveries that do not exist any more,
// and when the lease has ended, after which they are sent again anyway.
func (r *run) write(batch []Outcome) {
	pause := firstRetry
	for end := time.Now().Add(r.o.Lease); ; pause = min(2*pause, lastRetry) {
		err := r.writeOnce(batch)
		switch {
		case err == nil:
			return
		case hub.KindOf(err) == hub.NotFound:
			r.writeApart(batch)
			return
		case r.patient.Err() != nil || time.Now().After(end):
			r.o.Log.Error("record deliveries: given up; they will be sent again", slog.Int("deliveries", len(batch)), slog.Any("error", err))
			return
		}
		r.o.Log.Warn("record deliveries: trying again", slog.Int("deliveries", len(batch)), slog.Any("error", err))
		select {
		case <-time.After(pause):
		case <-r.patient.Done():
		}
	}
}

func (r *run) writeOnce(batch []Outcome) error {
	ctx, cancel := context.WithTimeout(r.patient, callLimit)
	defer cancel()
	return r.o.Queue.Record(ctx, batch)
}

// writeApart finds the deliveries that were deleted while they were sent.
func (r *run) writeApart(batch []Outcome) {
	if len(batch) == 1 {
		d := &batch[0].Delivery
		r.o.Log.Warn("delivery was deleted while it was sent", slog.String("tenant", string(d.Tenant)), slog.String("delivery", string(d.ID)))
		return
	}
	half := len(batch) / 2
	r.write(batch[:half])
	r.write(batch[half:])
}

// lastWords is how long a stop that ran out of time waits for the queue.
const lastWords = 5 * time.Second

// drain ends what is under way: it gives back what was not begun, waits for
// sends, cuts off those that take too long, and waits until all is recorded.
func (r *run) drain(cut, giveUp func()) {
	r.giveBack(append(r.lanes.clear(""), r.lanes.spilled...))
	limit := time.NewTimer(r.o.Drain)
	defer limit.Stop()
	for isCut := false; r.claiming || r.lanes.claimed > 0 || len(r.outcomes) > 0 || r.recording > 0; {
		r.record()
		select {
		case c := <-r.claims:
			r.took(c, r.o.Now())
			r.giveBack(r.lanes.clear(""))
		case res := <-r.results:
			r.sent(res, r.o.Now())
			r.giveBack(r.lanes.clear("")) // what was to go in halves
		case rec := <-r.records:
			r.wrote(rec)
		case <-limit.C:
			if isCut {
				giveUp()
			}
			cut()
			isCut = true
			limit.Reset(lastWords)
		}
	}
}

func (r *run) giveBack(tasks []*task) {
	now := r.o.Now()
	for _, t := range tasks {
		r.outcomes = append(r.outcomes, release(&t.Job, now))
	}
}
