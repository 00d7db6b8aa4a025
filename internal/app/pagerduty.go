package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines"
	"github.com/tocsin/tocsin/pipelines/dedup"
	"github.com/tocsin/tocsin/relay/pagerduty"
)

// pagerDuty carries out here what people do with incidents at PagerDuty, which
// tells of it by webhooks.
type pagerDuty struct {
	st       *store.Store
	rules    *ruler
	pipeline *pipelines.Pipeline
	log      *slog.Logger
}

var _ api.PagerDuty = (*pagerDuty)(nil)

// maxPDWebhook is PagerDuty's own limit, with room: each byte is hashed for each
// endpoint before it is known who sent it.
const maxPDWebhook = 512 << 10

// Outcomes of a webhook.
const (
	pdApplied   = "applied"   // an alert changed
	pdUnchanged = "unchanged" // it was so already
	pdIgnored   = "ignored"   // it is not for us; the note says why
	pdDuplicate = "duplicate" // it was carried out before
)

// Receive carries out a v3 webhook; see api.PagerDuty.
func (p *pagerDuty) Receive(ctx context.Context, r api.IngestRequest) (api.PagerDutyResult, error) {
	if len(r.Body) > maxPDWebhook {
		return api.PagerDutyResult{}, hub.E(hub.TooLarge, "PagerDuty's webhooks are no larger than 256 KB")
	}
	from := p.senders(r)
	if len(from) == 0 {
		return api.PagerDutyResult{}, hub.E(hub.Unauthorized, "no signature in X-PagerDuty-Signature is that of a PagerDuty endpoint's webhook secret")
	}
	in, err := pagerduty.ReadInbound(r.Body)
	if err != nil {
		return api.PagerDutyResult{}, err
	}
	w := &pdWebhook{in: &in, endpoint: from[0], by: pdPrincipal(&in.Agent, from, r)}
	err = p.pipeline.Change(ctx, func(c *pipelines.Change) error {
		w.result = api.PagerDutyResult{Alerts: []hub.AlertID{}}
		return w.carryOut(c)
	})
	if err == nil && w.result.Outcome == pdIgnored {
		p.log.Info("webhook of pagerduty ignored", "endpoint", w.endpoint.Name, "event", in.ID, "type", in.Type, "reason", w.result.Note)
	}
	return w.result, err
}

// senders gives the endpoints whose webhook secret signed the request, by name.
// There are several if they share a subscription; they are of one tenant.
func (p *pagerDuty) senders(r api.IngestRequest) []*hub.Endpoint {
	var from []*hub.Endpoint
	for _, e := range p.rules.all() {
		if e.Kind != hub.KindPagerDuty || !e.Enabled {
			continue
		}
		for _, secret := range strings.Fields(e.Secrets.Tokens["webhook_secrets"]) {
			if pagerduty.Verify(secret, r.Header[pagerduty.SignatureHeader], r.Body) {
				from = append(from, e)
				break
			}
		}
	}
	slices.SortFunc(from, func(a, b *hub.Endpoint) int {
		return strings.Compare(string(a.Tenant)+"/"+a.Name+"/"+string(a.ID), string(b.Tenant)+"/"+b.Name+"/"+string(b.ID))
	})
	return slices.DeleteFunc(from, func(e *hub.Endpoint) bool { return e.Tenant != from[0].Tenant })
}

// maxLabel bounds the name of a person.
const maxLabel = 100

// pdPrincipal is who did something at PagerDuty. What follows is not sent back
// to the endpoint, unless several share the subscription: then it is not known
// which of them knows it already, and PagerDuty makes nothing of what it knows.
func pdPrincipal(a *pagerduty.Agent, from []*hub.Endpoint, r api.IngestRequest) hub.Principal {
	p := hub.Principal{
		Tenant: from[0].Tenant, Type: hub.ActorUser, ID: "pagerduty", Label: "PagerDuty", Permissions: []string{"alerts:update"},
		IP: r.IP, Method: r.Method, Path: api.PagerDutyPath,
	}
	if ua := r.Header["User-Agent"]; len(ua) > 0 {
		p.UserAgent = ua[0]
	}
	if a.ID != "" {
		p.ID = "pagerduty:" + a.ID
	}
	if name := strings.Join(strings.Fields(a.Summary), " "); name != "" {
		runes := []rune(name)
		p.Label = string(runes[:min(len(runes), maxLabel)]) + " (PagerDuty)"
	}
	if len(from) == 1 {
		p.At = from[0].ID
	}
	return p
}

// keyAt gives the dedup_key by which an endpoint knows an incident; see
// pagerduty.Options.
func (p *pagerDuty) keyAt(ctx context.Context, e *hub.Endpoint, key string) (string, error) {
	err := p.st.View(ctx, func(r *store.Reader) (err error) {
		key, err = pdKeyAt(r, e, key)
		return err
	})
	return key, err
}

func pdKeyAt(r *store.Reader, e *hub.Endpoint, key string) (string, error) {
	all, err := r.OutsideSubjects(e.Tenant, e.ID, key)
	if err != nil || len(all) == 0 {
		return key, err
	}
	return all[0], nil
}

// A pdWebhook is one webhook while it is carried out.
type pdWebhook struct {
	in       *pagerduty.Inbound
	endpoint *hub.Endpoint
	by       hub.Principal
	result   api.PagerDutyResult
	notes    []string
}

// carryOut does what the webhook tells of, in one transaction with the memory of
// it.
func (w *pdWebhook) carryOut(c *pipelines.Change) error {
	tx := c.Tx().(pipelineTx).Tx
	now := hub.Truncate(tx.Now())
	fresh, err := tx.Receive(w.by.Tenant, hub.EndpointID("pagerduty/"+string(w.by.Tenant)), w.in.ID, now)
	if err != nil || !fresh {
		w.result.Outcome = pdDuplicate
		return err
	}
	w.notes, w.result.Outcome = nil, pdIgnored
	if err := w.apply(c, tx, now); err != nil {
		return err
	}
	w.result.Note = strings.Join(w.notes, "; ")
	e := hub.Audited(w.by, "pagerduty.webhook", "channel", string(w.endpoint.ID))
	e.Details = new(hub.Details).Str("event", w.in.ID).Str("incident", w.in.Incident.ID).
		Str("note", w.result.Note).Str("outcome", w.result.Outcome).Str("type", w.in.Type).Value()
	tx.Audit(e)
	return nil
}

func (w *pdWebhook) ignore(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

func (w *pdWebhook) apply(c *pipelines.Change, tx *store.Tx, now time.Time) error {
	keys, err := w.keys(tx, now)
	switch {
	case err != nil:
		return err
	case !strings.HasPrefix(w.in.Type, "incident."):
		w.ignore("%s is not about an incident", w.in.Type)
		return nil
	case len(keys) == 0:
		w.ignore("the incident is none that an alert of ours stands for")
		return nil
	case w.in.Agent.Integration():
		w.ignore("an event of the integration did it, which is our own")
		return nil
	}
	for _, key := range keys {
		if err := w.applyTo(c, tx, key, now); err != nil {
			return err
		}
	}
	return nil
}

// keys gives the dedup_keys of the incident that are ours: the one that the
// webhook carries, and what is known by the incident's id from earlier ones,
// because not every webhook carries a key.
func (w *pdWebhook) keys(tx *store.Tx, now time.Time) ([]string, error) {
	id := w.in.Incident.ID
	if id == "" {
		return nil, nil
	}
	keys, err := tx.OutsideSubjects(w.by.Tenant, w.endpoint.ID, id)
	if err != nil {
		return nil, err
	}
	key := w.in.Incident.Key
	if _, _, ours := pagerduty.ReadKey(key); ours && !slices.Contains(keys, key) {
		keys = append(keys, key)
		err = tx.NameOutside(w.by.Tenant, w.endpoint.ID, id, key, now)
	}
	return keys, err
}

// applyTo does to one alert what was done to its incident.
func (w *pdWebhook) applyTo(c *pipelines.Change, tx *store.Tx, key string, now time.Time) error {
	id, _, _ := pagerduty.ReadKey(key)
	found, err := tx.Alerts(w.by.Tenant, []hub.AlertID{id})
	a := found[id]
	if err != nil || a == nil {
		w.ignore("there is no alert %s", id)
		return err
	}
	current, err := pdKeyAt(&tx.Reader, w.endpoint, pagerduty.Key(id, a.Generation))
	if err != nil {
		return err
	}
	if current != key {
		w.ignore("the incident is of an earlier life of %s, which is at generation %d now", id, a.Generation)
		return nil
	}
	action, does := w.action(a)
	if !does {
		w.settle(id, false)
		return nil
	}
	after, changed, err := c.Act(w.by, id, action, 0)
	switch hub.KindOf(err) {
	case hub.NotFound, hub.Conflict, hub.Invalid:
		w.ignore("%s", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	w.settle(id, changed)
	if after.Generation != a.Generation { // its incident goes on under the same key
		return tx.NameOutside(w.by.Tenant, w.endpoint.ID, pagerduty.Key(id, after.Generation), key, now)
	}
	return nil
}

// settle enters what became of an alert into the result.
func (w *pdWebhook) settle(id hub.AlertID, changed bool) {
	w.result.Alerts = append(w.result.Alerts, id)
	if changed {
		w.result.Outcome = pdApplied
	} else if w.result.Outcome != pdApplied {
		w.result.Outcome = pdUnchanged
	}
}

// action gives what to do with an alert; false for nothing.
func (w *pdWebhook) action(a *hub.Alert) (dedup.Action, bool) {
	closed := a.Status == hub.AlertResolved || a.Status == hub.AlertDismissed
	note := func(text string) (dedup.Action, bool) { return dedup.Action{Kind: dedup.Update, Note: text}, true }
	switch w.in.Type {
	case "incident.acknowledged":
		return dedup.Action{Kind: dedup.Acknowledge, Note: w.where()}, a.Status == hub.AlertOpen
	case "incident.unacknowledged":
		return dedup.Action{Kind: dedup.Reopen, Note: w.where()}, a.Status == hub.AlertInvestigating
	case "incident.resolved":
		return dedup.Action{Kind: dedup.Resolve, Note: w.where()}, !closed
	case "incident.reopened":
		return dedup.Action{Kind: dedup.Reopen, Note: w.where()}, closed
	case "incident.reassigned", "incident.escalated", "incident.delegated":
		to := strings.Join(w.in.Incident.Assignees, ", ")
		return dedup.Action{Kind: dedup.Update, Assignee: &to, Note: "assigned to " + to + " " + w.where()}, to != "" && to != a.Assignee
	case "incident.priority_updated":
		if w.in.Incident.Priority == "" {
			return note("the priority was taken away " + w.where())
		}
		return note("priority " + w.in.Incident.Priority + " " + w.where())
	case "incident.annotated", "incident.status_update_published":
		if w.in.Note != "" {
			return note(w.in.Note)
		}
	}
	return dedup.Action{}, false
}

// where tells people where to look.
func (w *pdWebhook) where() string {
	text := "at PagerDuty, incident " + w.in.Incident.ID
	if w.in.Incident.URL != "" {
		text += " " + w.in.Incident.URL
	}
	return text
}
