package slack

import (
	"context"
	"fmt"
	"strings"

	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
)

// A question is an approval that people are asked for.
type question struct {
	a       *hub.Approval
	how     string // to answer without buttons
	link    string // to what it is about
	buttons bool
}

// questionHeads say where an approval is in its life.
var questionHeads = map[hub.ApprovalState]string{
	hub.ApprovalWaiting: "Approval needed", hub.ApprovalApproved: "Approved", hub.ApprovalDenied: "Denied", hub.ApprovalTimedOut: "Not decided in time",
}

// message asks, or tells what was decided.
func (q *question) message() *message {
	head := line(questionHeads[q.a.State]+" · "+q.a.Playbook, maxHeader)
	return fitting(func(room int) *message {
		b := card{room: room}
		b.header(head)
		b.quote(q.a.Message)
		var f fields
		f.add("Playbook", q.a.Playbook+" · "+q.a.Step)
		f.add("About", q.a.Subject)
		if q.a.State == hub.ApprovalWaiting {
			f.add("Who", strings.Join(q.a.By, ", "))
			f.add("Approved", fmt.Sprintf("%d of %d", len(q.a.Answers), q.a.Quorum))
			f.add("Until", date(q.a.ExpiresAt))
		}
		b.fields(f)
		b.section(q.answers(room))
		b.buttons(q)
		b.context(&content{ev: &hub.Event{Type: "approval", Subject: string(q.a.ID)}, link: q.link})
		return &message{text: head, blocks: b.blocks}
	})
}

// answers says who answered what and when, and how it ended.
func (q *question) answers(room int) string {
	var lines []string
	for i := range q.a.Answers {
		n := &q.a.Answers[i]
		text := "*Approved* by "
		if n.Decision == hub.Deny {
			text = "*Denied* by "
		}
		text += line(n.Name, 100) + " · " + date(n.At)
		if n.Note != "" {
			text += " · " + line(n.Note, min(room, 300))
		}
		lines = append(lines, text)
	}
	if q.a.State == hub.ApprovalTimedOut {
		lines = append(lines, "*Nobody decided* until "+date(q.a.ExpiresAt))
	}
	for text := strings.Join(lines, "\n"); ; text = strings.Join(lines, "\n") {
		if width(text) <= min(maxSection, 4*room) || len(lines) == 1 {
			return text
		}
		lines = lines[1:] // the newest decide
	}
}

// buttons adds what an approval that waits can be answered with.
func (c *card) buttons(q *question) {
	if q.a.State != hub.ApprovalWaiting {
		return
	}
	if !q.buttons {
		c.section(escape(q.how, 1000))
		return
	}
	var all []api.BlockElement
	for _, b := range []struct {
		name, label string
		style       api.Style
	}{{Approve, "Approve", api.StylePrimary}, {Deny, "Deny", api.StyleDanger}} {
		id := Action{b.name, string(q.a.ID), 1}.id()
		e := api.NewButtonBlockElement(id, strings.TrimPrefix(id, actionPrefix), plain(b.label))
		e.Style = b.style
		all = append(all, e)
	}
	c.blocks = append(c.blocks, api.NewActionBlock("", all...))
}

// ask posts a question, unless it was posted, and notes which message it is.
func (k *talk) ask(ctx context.Context, d *hub.Delivery, q *question) error {
	if err := k.once(ctx, d, q.message(), ""); err != nil {
		return err
	}
	k.posted = append(k.posted, hub.Posting{
		Tenant: k.e.Tenant, Endpoint: k.e.ID, Alert: hub.AlertID(q.a.ID), Generation: 1, Asked: k.channel, Place: k.place, Message: k.ts,
		Version: q.a.Version, Wanted: q.a.Version, Delivery: d.ID, At: hub.Truncate(k.o.Now()), For: d.ID,
	})
	return nil
}

// RefreshQuestion shows an approval as it is in the message that asks for it. The
// answer tells what the message shows then.
func (t *Target) RefreshQuestion(ctx context.Context, e *hub.Endpoint, p hub.Posting, a *hub.Approval) (hub.Posting, error) {
	k, err := t.talk(e)
	if err != nil {
		return p, err
	}
	q := question{a: a, link: t.o.Link(a.Subject), buttons: t.o.Buttons(e)}
	if err := k.update(ctx, p, q.message()); err != nil && !k.lost() { // nobody can press one that is lost
		return p, err
	}
	p.Version, p.At = max(p.Version, a.Version), hub.Truncate(t.o.Now())
	return p, nil
}
