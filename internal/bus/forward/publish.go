package forward

import (
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
)

// publish publishes items of one key until all are, and reports false if the
// forwarder was stopped before.
func (r *run) publish(flight []*entry) bool {
	for attempt := 1; ; attempt++ {
		err := r.try(flight)
		if err == nil {
			r.published.Add(int64(len(flight)))
			return true
		}
		if r.ctx.Err() != nil {
			return false
		}
		r.failed.Add(1)
		if bus.Verdict(err) == bus.Dead {
			if len(flight) > 1 {
				return r.publishEach(flight)
			}
			if r.putAside(flight[0], err) {
				return true
			}
		}
		r.complain(flight[0], attempt, err)
		if !r.pause(r.wait(attempt, err)) {
			return false
		}
	}
}

// publishEach finds out which item of several can never be published.
func (r *run) publishEach(flight []*entry) bool {
	for i := range flight {
		if !r.publish(flight[i : i+1]) {
			return false
		}
	}
	return true
}

// try makes one attempt. The context of the messages ends it when the forwarder
// is to stop.
func (r *run) try(flight []*entry) error {
	msgs := make([]*message.Message, len(flight))
	for i, e := range flight {
		e.Message.SetContext(r.ctx)
		msgs[i] = e.Message
	}
	return r.publisher.Publish(flight[0].Topic, msgs...)
}

func (r *run) putAside(e *entry, cause error) bool {
	if r.opts.Refused == nil {
		return false
	}
	if err := r.opts.Refused(r.ctx, e.Item, cause); err != nil {
		r.log.Warn("a message that cannot be published could not be put aside", "id", e.Message.UUID, "error", err)
		return false
	}
	r.refused.Add(1)
	r.log.Error("a message cannot be published; it was put aside", "topic", e.Topic, "id", e.Message.UUID, "position", e.Position, "error", cause)
	return true
}

// complain is loud once, when it is no hiccup any more.
func (r *run) complain(e *entry, attempt int, err error) {
	if attempt == 5 {
		r.log.Warn("messages cannot be published; trying again", "topic", e.Topic, "id", e.Message.UUID, "attempts", attempt, "error", err)
	}
}

// wait is the pause before attempt+1.
func (r *run) wait(attempt int, err error) time.Duration {
	d := r.backoff(attempt)
	var e *hub.Error
	if errors.As(err, &e) {
		d = max(d, min(e.RetryAfter, r.opts.BackoffMax))
	}
	return d
}

func (f *Forwarder) backoff(attempt int) time.Duration {
	if attempt > 30 {
		return f.opts.BackoffMax
	}
	return min(f.opts.BackoffMin<<(attempt-1), f.opts.BackoffMax)
}

// pause waits for d, or reports false if the forwarder is to stop.
func (r *run) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}
