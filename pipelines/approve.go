package pipelines

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/pipelines/playbook"
)

// ask records the question of a step, and the deliveries that put it.
func (u *unit) ask(run *playbook.Run, step string, ask *playbook.Ask, ev *hub.Event, body []byte) error {
	a := &hub.Approval{
		ID: hub.ApprovalID(ident.New(hub.PrefixApproval)), Tenant: ev.Tenant, Run: run.ID, Playbook: run.Playbook, Step: step, Subject: run.Subject,
		Message: ask.Message, By: ask.By, Quorum: ask.Quorum, OnTimeout: string(ask.OnTimeout), Channels: []hub.EndpointID{},
		State: hub.ApprovalWaiting, Answers: []hub.Answer{}, CreatedAt: u.now, ExpiresAt: ask.Until, Version: 1,
	}
	if a.By == nil {
		a.By = []string{}
	}
	var to []*hub.Endpoint
	for _, name := range ask.Channels {
		switch e := u.rules.Endpoints[string(ev.Tenant)+"/"+name]; {
		case e == nil:
			u.refused(ev.Tenant, run, step, fmt.Errorf("there is no endpoint named %q", name))
		case e.Kind != hub.KindSlack && e.Kind != hub.KindEmail && e.Kind != hub.KindWebhook:
			u.refused(ev.Tenant, run, step, fmt.Errorf("nobody can be asked at %q, which is of kind %s", name, e.Kind))
		default:
			to, a.Channels = append(to, e), append(a.Channels, e.ID)
		}
	}
	if err := u.tx.PutApproval(a); err != nil {
		return err
	}
	u.auditApproval(u.actor(run.Playbook, ev.Tenant), "approval.ask", a, hub.AuditSuccess, "")
	for _, e := range to {
		params, err := u.question(a, e)
		if err != nil {
			return err
		}
		action := hub.ActionPost
		if e.Kind == hub.KindWebhook {
			action = hub.ActionSend
		}
		u.deliver(ev, body, e, action, hub.Delivery{Run: run.ID, Step: step + "/" + e.Name, Params: params})
	}
	return nil
}

// question is how an endpoint is asked: Slack makes buttons of the approval, the
// others say how to answer. The body of a webhook is the approval itself.
func (u *unit) question(a *hub.Approval, e *hub.Endpoint) (jsontext.Value, error) {
	how := fmt.Sprintf("To answer: tocsin approvals approve %[1]s, or tocsin approvals deny %[1]s, or POST %[2]s/api/v1/approvals/%[1]s with {\"decision\": \"approve\"} or {\"decision\": \"deny\"}.",
		a.ID, strings.TrimSuffix(u.p.opts.Source, "/"))
	until := a.ExpiresAt.UTC().Format(time.RFC3339)
	v := map[string]any{}
	switch e.Kind {
	case hub.KindSlack:
		v["approval"], v["how"] = a, how
	case hub.KindWebhook:
		v["body"] = map[string]any{"approval": a, "how_to_answer": how}
	default:
		v["subject"] = "Approval needed: " + a.Playbook
		v["message"] = fmt.Sprintf("%s\n\nPlaybook %s waits for %d to approve until %s, about %s.\n\n%s", a.Message, a.Playbook, a.Quorum, until, a.Subject, how)
	}
	return json.Marshal(v, json.Deterministic(true))
}

// Answer takes somebody's answer to what a run waits on: it authorises, acts and
// audits. A decision takes the run on in the same transaction. An error of kind
// Forbidden, NotFound or Conflict is the person's; it comes with an entry in the
// audit log, which the caller keeps by not failing the transaction.
func (c *Change) Answer(by hub.Principal, id hub.ApprovalID, d hub.Decision, note string) (*hub.Approval, error) {
	u := c.u
	a, err := u.tx.Approval(by.Tenant, id)
	if err != nil {
		return nil, err
	}
	if err := a.May(by); err != nil {
		u.auditApproval(by, "approval."+string(d), a, hub.AuditDenied, err.Error())
		return a, err
	}
	if err := a.Answer(by, d, note, u.now); err != nil {
		u.auditApproval(by, "approval."+string(d), a, hub.AuditFailure, err.Error())
		return a, err
	}
	if err := u.tx.PutApproval(a); err != nil {
		return nil, err
	}
	u.auditApproval(by, "approval."+string(d), a, hub.AuditSuccess, note)
	if a.State == hub.ApprovalWaiting {
		return a, nil
	}
	rec, err := u.tx.Run(a.Tenant, a.Run)
	if err != nil {
		return nil, err
	}
	verdict := playbook.Verdict{Approved: a.State == hub.ApprovalApproved, By: a.Deciders(), Note: a.Note()}
	return a, u.goOn(&rec, func(pb *playbook.Playbook, run *playbook.Run, env playbook.Env, now time.Time) ([]playbook.Effect, error) {
		return playbook.Decide(pb, run, verdict, env, now)
	})
}

// Refused reports whether an error of [Change.Answer] is the person's.
func Refused(err error) bool {
	k := hub.KindOf(err)
	return k == hub.Forbidden || k == hub.Conflict || k == hub.NotFound
}

// timeOut ends what a run waited on, if it was not decided.
func (u *unit) timeOut(run *playbook.Run, t hub.TenantID) error {
	return u.over(t, run.ID, "approval.time_out", hub.AuditSuccess)
}

// withdraw ends what a run waited on that cannot go on.
func (u *unit) withdraw(t hub.TenantID, run hub.RunID) error {
	return u.over(t, run, "approval.withdraw", hub.AuditFailure)
}

func (u *unit) over(t hub.TenantID, run hub.RunID, action string, outcome hub.AuditOutcome) error {
	a, err := u.tx.WaitingApproval(t, run)
	if err != nil || a == nil {
		return err
	}
	a.TimeOut(u.now)
	u.auditApproval(hub.System(t), action, a, outcome, "")
	return u.tx.PutApproval(a)
}

func (u *unit) auditApproval(by hub.Principal, action string, a *hub.Approval, outcome hub.AuditOutcome, note string) {
	e := hub.Audited(by, action, "approval", string(a.ID))
	e.Outcome = outcome
	e.Details = new(hub.Details).Int("answers", int64(len(a.Answers))).Str("note", note).Str("playbook", a.Playbook).Int("quorum", int64(a.Quorum)).
		Str("run", string(a.Run)).Str("state", string(a.State)).Str("step", a.Step).Str("subject", a.Subject).Value()
	u.tx.Audit(e)
}
