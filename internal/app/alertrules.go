package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines/rules"
)

// maxRules bounds the alert rules of a tenant, because each alert is held against
// all of them.
const maxRules = 500

// alertRules are the rules by which channels are told of alerts.
type alertRules struct {
	st    *store.Store
	rules *ruler
	wake  func() // looks what rules hold back
}

var _ api.AlertRules = (*alertRules)(nil)

// List shows the alert rules.
func (a *alertRules) List(ctx context.Context, t hub.TenantID, pg page.Request) (out api.List[*hub.AlertRule], err error) {
	after, err := page.Decode("alert-rules", pg.After)
	if err != nil {
		return out, err
	}
	err = a.st.View(ctx, func(r *store.Reader) error {
		all, err := r.AlertRules(t)
		if err != nil {
			return err
		}
		out = api.List[*hub.AlertRule]{}
		if pg.Page > 0 {
			n := int64(len(all))
			out.Total = &n
		}
		i, found := slices.BinarySearchFunc(all, after, func(r *hub.AlertRule, id string) int { return strings.Compare(string(r.ID), id) })
		if found {
			i++
		}
		all = all[min(i+pg.Skip(), len(all)):]
		if len(all) > pg.Limit {
			all = all[:pg.Limit]
			out.Next = page.Encode("alert-rules", string(all[pg.Limit-1].ID))
		}
		for _, rule := range all {
			if err := withState(r, rule); err != nil {
				return err
			}
		}
		out.Data = all
		return nil
	})
	return out, err
}

func withState(r *store.Reader, rule *hub.AlertRule) error {
	s, err := r.RuleState(rule.Tenant, rule.ID)
	rule.State = &s
	return err
}

// Rule shows one.
func (a *alertRules) Rule(ctx context.Context, t hub.TenantID, id hub.RuleID) (rule *hub.AlertRule, err error) {
	err = a.st.View(ctx, func(r *store.Reader) error {
		if rule, err = r.AlertRule(t, id); err != nil {
			return err
		}
		return withState(r, rule)
	})
	return rule, err
}

// checkChannels says which of a rule's channels are not there, or twice. was are
// those that it had already.
func checkChannels(tx *store.Tx, r *hub.AlertRule, was []hub.EndpointID) error {
	all, err := tx.Endpoints(r.Tenant)
	if err != nil {
		return err
	}
	var fields []hub.Field
	seen := map[hub.EndpointID]bool{}
	for i, id := range r.ChannelIDs {
		known := slices.ContainsFunc(all, func(e *hub.Endpoint) bool { return e.ID == id })
		switch {
		case seen[id]:
			fields = append(fields, hub.Field{Pointer: fmt.Sprintf("/channel_ids/%d", i), Detail: "is there twice"})
		case !known && !slices.Contains(was, id):
			fields = append(fields, hub.Field{Pointer: fmt.Sprintf("/channel_ids/%d", i), Detail: fmt.Sprintf("there is no channel %q; GET /channels lists them", id)})
		}
		seen[id] = true
	}
	return invalid(fields)
}

// Create makes an alert rule.
func (a *alertRules) Create(ctx context.Context, p hub.Principal, r *hub.AlertRule, idem api.Idempotency) error {
	if !p.Can("alert_rules:create") {
		return hub.E(hub.Forbidden, "this needs the permission alert_rules:create")
	}
	if err := invalid(rules.Check(r)); err != nil {
		return err
	}
	r.ID, r.Tenant, r.Version = hub.RuleID(ident.New(hub.PrefixRule)), p.Tenant, 1
	r.CreatedAt = hub.Truncate(a.st.Now())
	r.UpdatedAt = r.CreatedAt
	err := a.st.Do(ctx, func(tx *store.Tx) error {
		if err := recall(tx, p.Tenant, idem); err != nil {
			return err
		}
		if err := checkChannels(tx, r, nil); err != nil {
			return err
		}
		all, err := tx.AlertRules(p.Tenant)
		if err != nil {
			return err
		}
		if len(all) >= maxRules {
			return hub.E(hub.Conflict, fmt.Sprintf("there are %d alert rules already, which is as many as there can be", len(all)))
		}
		tx.Audit(ruleEntry(p, "alert_rule.create", r))
		if err := tx.PutAlertRule(r); err != nil {
			return err
		}
		return remember(tx, p.Tenant, idem, r)
	})
	if err != nil {
		return err
	}
	r.State = &hub.RuleState{}
	return a.rules.reload(ctx)
}

func ruleEntry(p hub.Principal, action string, r *hub.AlertRule) hub.AuditEntry {
	entry := hub.Audited(p, action, "alert_rule", string(r.ID))
	ids := make([]string, len(r.ChannelIDs))
	for i, id := range r.ChannelIDs {
		ids[i] = string(id)
	}
	entry.Details = new(hub.Details).Strs("channels", ids).Str("condition_type", r.ConditionType).Str("enabled", fmt.Sprint(r.Enabled)).
		Str("name", r.Name).Int("version", r.Version).Value()
	return entry
}

// Update changes an alert rule. What it holds back is looked at anew: it may tell
// of it at once now.
func (a *alertRules) Update(ctx context.Context, p hub.Principal, id hub.RuleID, ifMatch int64, change func(*hub.AlertRule) error) (*hub.AlertRule, error) {
	if !p.Can("alert_rules:update") {
		return nil, hub.E(hub.Forbidden, "this needs the permission alert_rules:update")
	}
	r, err := a.Rule(ctx, p.Tenant, id)
	if err != nil {
		return nil, err
	}
	version, was := r.Version, slices.Clone(r.ChannelIDs)
	if ifMatch != 0 && ifMatch != version {
		return nil, hub.E(hub.Precondition, fmt.Sprintf("the alert rule is at version %d, not %d; read it again", version, ifMatch))
	}
	if err := change(r); err != nil {
		return nil, err
	}
	if err := invalid(rules.Check(r)); err != nil {
		return nil, err
	}
	r.Version, r.UpdatedAt = version+1, hub.Truncate(a.st.Now())
	err = a.st.Do(ctx, func(tx *store.Tx) error {
		now, err := tx.AlertRule(p.Tenant, id)
		if err != nil {
			return err
		}
		if now.Version != version {
			return hub.E(hub.Conflict, "the alert rule was changed by someone else meanwhile; read it again")
		}
		if err := checkChannels(tx, r, was); err != nil {
			return err
		}
		tx.Audit(ruleEntry(p, "alert_rule.update", r))
		if err := tx.PutAlertRule(r); err != nil {
			return err
		}
		state, err := tx.RuleState(p.Tenant, id)
		if err != nil {
			return err
		}
		r.State = &state
		if state.Pending == nil {
			return nil
		}
		state.Pending.Due = hub.Truncate(tx.Now())
		return tx.PutRuleState(p.Tenant, id, &state)
	})
	if err != nil {
		return nil, err
	}
	defer a.wake()
	return r, a.rules.reload(ctx)
}

// Delete removes an alert rule.
func (a *alertRules) Delete(ctx context.Context, p hub.Principal, id hub.RuleID) error {
	if !p.Can("alert_rules:delete") {
		return hub.E(hub.Forbidden, "this needs the permission alert_rules:delete")
	}
	err := a.st.Do(ctx, func(tx *store.Tx) error {
		r, err := tx.AlertRule(p.Tenant, id)
		if err != nil {
			return err
		}
		tx.Audit(ruleEntry(p, "alert_rule.delete", r))
		return tx.DeleteAlertRule(p.Tenant, id)
	})
	if err != nil {
		return err
	}
	return a.rules.reload(ctx)
}

// withoutChannel takes a channel that is removed out of the rules that name it.
func withoutChannel(tx *store.Tx, p hub.Principal, id hub.EndpointID) error {
	all, err := tx.AlertRules(p.Tenant)
	if err != nil {
		return err
	}
	for _, r := range all {
		if !slices.Contains(r.ChannelIDs, id) {
			continue
		}
		r.ChannelIDs = slices.DeleteFunc(r.ChannelIDs, func(x hub.EndpointID) bool { return x == id })
		r.Version, r.UpdatedAt = r.Version+1, hub.Truncate(tx.Now())
		tx.Audit(ruleEntry(p, "alert_rule.update", r))
		if err := tx.PutAlertRule(r); err != nil {
			return err
		}
	}
	return nil
}
