package slack

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ratelimit"
)

// send says what c holds, where it belongs.
func (k *talk) send(ctx context.Context, d *hub.Delivery, c *content) error {
	if c.question != nil {
		return k.ask(ctx, d, c.question)
	}
	a := c.ev.Data.Alert
	if a == nil {
		return k.once(ctx, d, c.message(), "")
	}
	p, found, err := k.posting(ctx, a)
	switch {
	case err != nil:
		return err
	case c.given != "":
		return k.say(ctx, d, c, p, found)
	case found && !p.Summary:
		if err := k.change(ctx, d, c, p); !k.lost() {
			return err
		}
	case found && !c.raised():
		if err := k.follow(ctx, d, c, p); !k.lost() {
			return err
		}
	}
	return k.card(ctx, d, c)
}

// posting finds the message that stands for this life of an alert, where the
// endpoint posts now.
func (k *talk) posting(ctx context.Context, a *hub.Alert) (hub.Posting, bool, error) {
	all, err := k.o.Postings(ctx, k.e, []hub.AlertID{a.ID})
	for _, p := range all {
		if p.Alert == a.ID && p.Generation == a.Generation && p.Asked == k.channel {
			return p, true, err
		}
	}
	return hub.Posting{}, false, err
}

// card posts the card of an alert.
func (k *talk) card(ctx context.Context, d *hub.Delivery, c *content) error {
	if err := k.once(ctx, d, c.card(), ""); err != nil {
		return err
	}
	k.stands(d, c.ev.Data.Alert)
	return nil
}

// stands notes that the message stands for the alert as it is.
func (k *talk) stands(d *hub.Delivery, a *hub.Alert) {
	k.posted = append(k.posted, hub.Posting{
		Tenant: k.e.Tenant, Endpoint: k.e.ID, Alert: a.ID, Generation: a.Generation, Asked: k.channel, Place: k.place, Message: k.ts,
		Version: a.Version, Wanted: a.Version, Delivery: d.ID, At: hub.Truncate(k.o.Now()), For: d.ID,
	})
}

// change brings the card of an alert up to date and says in its thread what
// happened.
func (k *talk) change(ctx context.Context, d *hub.Delivery, c *content, p hub.Posting) error {
	a := c.ev.Data.Alert
	if p.Version <= a.Version { // else it shows what came later
		if err := k.update(ctx, p, c.card()); err != nil {
			return err
		}
	}
	var more []api.MsgOption
	if c.raised() {
		more = append(more, api.MsgOptionBroadcast())
	}
	if err := k.once(ctx, d, c.reply(false), p.Message, more...); err != nil {
		return err
	}
	k.place, k.ts = p.Place, p.Message
	p.Version, p.Wanted, p.At, p.For = a.Version, a.Version, hub.Truncate(k.o.Now()), d.ID
	k.posted = append(k.posted, p)
	return nil
}

// follow says in the thread of a summary what happened to one of its alerts.
func (k *talk) follow(ctx context.Context, d *hub.Delivery, c *content, p hub.Posting) error {
	if err := k.once(ctx, d, c.reply(true), p.Message); err != nil {
		return err
	}
	k.place, k.ts = p.Place, p.Message
	return nil
}

// say posts what a playbook has to say: in the thread of the alert, shown in the
// channel too, or by itself if there is none.
func (k *talk) say(ctx context.Context, d *hub.Delivery, c *content, p hub.Posting, found bool) error {
	if found {
		if err := k.once(ctx, d, c.message(), p.Message, api.MsgOptionBroadcast()); !k.lost() {
			return err
		}
	}
	return k.once(ctx, d, c.message(), "")
}

// once posts a message unless it has been posted.
func (k *talk) once(ctx context.Context, d *hub.Delivery, m *message, thread string, more ...api.MsgOption) error {
	if unsure(d) {
		found, err := k.find(ctx, []*hub.Delivery{d}, thread)
		if err != nil {
			return err
		}
		if ts := found[d.ID]; ts != "" {
			k.code, k.ts = "", ts
			return nil
		}
	}
	if thread != "" {
		more = append(more, api.MsgOptionTS(thread))
	}
	m.metadata = k.marks([]*hub.Delivery{d})
	return k.post(ctx, m, more...)
}

// fixed are the codes by which Slack says that a message cannot be changed any
// more, though it is there.
func fixed(code string) bool {
	return code == "cant_update_message" || code == "edit_window_closed" || code == "is_inactive"
}

// update changes a message. One that cannot be changed stays as it is.
func (k *talk) update(ctx context.Context, p hub.Posting, m *message) error {
	if err := k.mayEdit(ctx); err != nil {
		return err
	}
	_, _, _, err := k.api.UpdateMessageContext(ctx, p.Place, p.Message, m.options()...)
	err = k.judged(err)
	if err != nil && fixed(k.code) {
		k.code = ""
		return nil
	}
	k.close(err)
	return err
}

// close keeps all that the token has to change back for as long as Slack asks.
func (k *talk) close(err error) {
	var e *hub.Error
	if !errors.As(err, &e) || e.Kind != hub.RateLimited || e.RetryAfter <= 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.o.Now()
	maps.DeleteFunc(k.closed, func(_ string, until time.Time) bool { return until.Before(now) })
	k.closed[digest(k.e.Secrets.Tokens[Token])] = now.Add(e.RetryAfter)
}

// allowed counts one more change of a message, if it may be made, or says when.
func (k *talk) allowed(token string) time.Duration {
	k.mu.Lock()
	wait := k.closed[token].Sub(k.o.Now())
	k.mu.Unlock()
	if wait > 0 {
		return wait
	}
	return k.edits.Allow(token, ratelimit.Limit{PerMinute: k.o.Edits, Burst: editsAtOnce}).RetryAfter
}

// patience is how long an attempt waits until it may change a message; more is
// left to the worker.
const patience = 5 * time.Second

// mayEdit waits until the token may change another message.
func (k *talk) mayEdit(ctx context.Context) error {
	token := digest(k.e.Secrets.Tokens[Token])
	for wait := k.allowed(token); wait > 0; wait = k.allowed(token) {
		if wait > patience {
			return &hub.Error{Kind: hub.RateLimited, Msg: "Slack lets an app change 50 messages a minute", RetryAfter: wait}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return hub.Wrap(hub.Transient, ctx.Err(), "no time was left to change the message")
		}
	}
	return nil
}

// Refresh shows an alert as it is now in the card that stands for it, without a
// word in its thread. The answer tells what the card shows then.
func (t *Target) Refresh(ctx context.Context, e *hub.Endpoint, p hub.Posting, a *hub.Alert) (hub.Posting, error) {
	k, err := t.talk(e)
	if err != nil {
		return p, err
	}
	c := content{
		ev: &hub.Event{Type: hub.AlertUpdated, Tenant: p.Tenant, Subject: string(a.ID), Data: hub.EventData{Alert: a}}, delivery: string(p.Delivery),
		link: t.o.Link(string(a.ID)), buttons: t.o.Buttons(e),
	}
	c.text = t.o.Template(e, "text", &hub.Delivery{ID: p.Delivery, Tenant: p.Tenant, EventType: hub.AlertUpdated, Subject: string(a.ID)}, c.ev)
	if err := k.update(ctx, p, c.card()); err != nil && !k.lost() { // one that is lost is posted anew with the next change
		return p, err
	}
	p.Version = max(p.Wanted, a.Version)
	p.Wanted, p.At = p.Version, hub.Truncate(t.o.Now())
	return p, nil
}

// raised reports whether the severity has gone up.
func (c *content) raised() bool {
	v, ok := c.ev.Data.Changes["severity"]
	if !ok {
		return false
	}
	before, _ := v[0].(string)
	after, _ := v[1].(string)
	return hub.Severity(after).Rank() > hub.Severity(before).Rank()
}

// unsure reports whether a delivery may have been sent before.
func unsure(d *hub.Delivery) bool {
	return d.Unsure || d.Attempts > 0 && d.Status != 429
}

// isID reports whether a channel is given by its id: only that can be read.
func isID(channel string) bool {
	return len(channel) > 1 && strings.ContainsAny(channel[:1], "CGD") && strings.ToUpper(channel) == channel
}
