package dedup

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// create makes the alert of a problem that has none. If the problem was resolved
// before its open arrived, the alert is so from the start and nobody is told.
func (t *turn) create(id hub.AlertID) Decision {
	f := t.f
	a := &hub.Alert{
		ID: id, Tenant: f.Tenant, Fingerprint: Fingerprint(*t.profile, f), Type: f.Type, AssetID: f.AssetID, Source: f.Source,
		Status: hub.AlertOpen, FirstSeen: t.at, CreatedAt: t.now, Count: t.state.early,
	}
	t.state.early = 0
	t.take(a)
	d := Decision{Outcome: hub.OutcomeCreated, Action: ActionCreated, Alert: a, Note: t.skew, Reason: "first seen"}
	switch {
	case t.after.status == resolved:
		a.Status, a.ResolvedAt = hub.AlertResolved, hub.FromMicros(t.after.ended)
		d.Outcome, d.Reason = hub.OutcomeLate, "resolved at "+stamp(a.ResolvedAt)+", before this was known"
	case t.over != nil:
		a.Fingerprint, a.PreviousAlertID = t.over.Fingerprint, t.over.ID
		d.Reason = fmt.Sprintf("came back later than %s after %s was resolved", t.profile.window(), t.over.ID)
		fallthrough
	default:
		d.Event, d.Notify = hub.AlertCreated, true
		if t.taken(a) {
			d.Reason += ", acknowledged at " + f.Source
		}
	}
	t.tell(&d)
	return d
}

// update changes the alert of the problem.
func (t *turn) update() Decision {
	a := *t.alert
	t.take(&a)
	d := Decision{Outcome: t.outcome(), Alert: &a, Note: t.skew}
	switch d.Outcome {
	case hub.OutcomeReopened:
		t.reopen(&d)
	case hub.OutcomeResolved:
		t.resolve(&d)
	case hub.OutcomeLate:
		t.late(&d)
	default:
		t.merge(&d)
	}
	d.Changes = diff(t.alert, &a)
	t.tell(&d)
	return d
}

func (t *turn) reopen(d *Decision) {
	a := d.Alert
	a.Status, a.ResolvedAt = hub.AlertOpen, time.Time{}
	a.AcknowledgedAt, a.AcknowledgedBy = time.Time{}, ""
	t.state.override = 0
	t.state.unquiet()
	a.Severity = t.state.severity(t.after.sev)
	d.Action, d.Event, d.Notify = ActionReopened, hub.AlertReopened, true
	d.Reason = "seen again by " + t.f.Source
	if t.o.at < t.before.closed {
		d.Reason = t.f.Source + " had seen it at " + stamp(t.at) + " and has not resolved it"
	}
	if t.taken(a) {
		d.Reason += ", and acknowledged there"
	}
}

func (t *turn) resolve(d *Decision) {
	a := d.Alert
	switch {
	case a.Status == hub.AlertDismissed:
		d.Outcome, d.Action, d.Reason = hub.OutcomeSuppressed, ActionSuppressed, "dismissed, and resolved by "+t.f.Source
	case t.before.status == resolved:
		d.Action, d.Reason, d.mergeable = ActionMerged, "already resolved", true
	default:
		a.Status, a.ResolvedAt = hub.AlertResolved, hub.FromMicros(t.after.ended)
		d.Action, d.Event, d.Notify = ActionResolved, hub.AlertResolvedEvent, true
		d.Reason = "resolved by " + t.f.Source
	}
}

// late counts a finding that tells of the past. It may still show when the
// problem was resolved.
func (t *turn) late(d *Decision) {
	d.Action, d.mergeable = ActionLate, true
	switch {
	case !t.fresh:
		d.Reason = "older than what " + t.f.Source + " has reported since"
	case t.o.kind == kindTaken:
		d.Reason = "an acknowledgement at " + t.f.Source + " opens nothing again"
	default:
		d.Reason = "older than the alert's resolve"
	}
	if a := d.Alert; a.Status == hub.AlertResolved && t.after.ended != t.before.ended {
		a.ResolvedAt = hub.FromMicros(t.after.ended)
	}
}

// merge counts a finding that keeps the alert as open as it was, or ends an
// acknowledgement or a dismissal.
func (t *turn) merge(d *Decision) {
	a, why := d.Alert, ""
	calm := t.state.quiet == untilChange || a.Status == hub.AlertInvestigating || a.Status == hub.AlertDismissed
	if calm {
		why = t.ending(a)
	}
	if why != "" {
		t.state.unquiet()
	}
	switch {
	case why != "" && a.Status == hub.AlertDismissed:
		t.state.lives++
		a.Generation++
		a.Status = hub.AlertOpen
		d.Outcome, d.Action, d.Event, d.Notify = hub.OutcomeReopened, ActionReopened, hub.AlertReopened, true
		d.Reason = "dismissal ended: " + why
	case why != "":
		d.Action, d.Event, d.Notify = ActionUpdated, hub.AlertUpdated, true
		if d.Reason = "suppression ended: " + why; a.Status == hub.AlertInvestigating {
			d.Reason = "acknowledgement ended: " + why
		}
		a.Status, a.AcknowledgedAt, a.AcknowledgedBy = hub.AlertOpen, time.Time{}, ""
	case a.Status == hub.AlertDismissed:
		d.Outcome, d.Action, d.Reason, d.mergeable = hub.OutcomeSuppressed, ActionSuppressed, "dismissed", true
	case t.taken(a):
		d.Action, d.Event, d.Notify = ActionAcknowledged, hub.AlertAcknowledgedEvent, true
		d.Reason = "acknowledged at " + t.f.Source
	default:
		d.Action, d.Reason, d.mergeable = ActionMerged, "merged", true
		if !calm {
			d.Event, d.Notify = hub.AlertUpdated, a.Severity.Rank() > t.alert.Severity.Rank()
		}
	}
}

// unquiet ends a suppression that lasts until the finding changes.
func (s *State) unquiet() {
	if s.quiet == untilChange {
		s.quiet = 0
	}
}

// ending tells why the finding ends an acknowledgement or a dismissal of a, or "".
func (t *turn) ending(a *hub.Alert) string {
	switch {
	case !t.o.kind.opens():
		return ""
	case a.Severity.Rank() > int(t.state.calmed):
		return fmt.Sprintf("severity %s → %s", severity(t.state.calmed), a.Severity)
	case t.newAsset:
		return "new asset " + t.f.AssetID
	case t.newEvidence && slices.Contains(t.alert.Sources, t.f.Source):
		return "new evidence from " + t.f.Source
	}
	return ""
}

// take brings into a what every finding brings, whatever its outcome.
func (t *turn) take(a *hub.Alert) {
	a.Count++
	a.Version++
	a.UpdatedAt = t.now
	a.Generation = t.after.gen + t.state.lives
	a.Severity = t.state.severity(t.after.sev)
	if !t.o.kind.opens() || !t.mine && !t.fresh {
		return
	}
	if t.mine && t.at.Before(a.FirstSeen) {
		a.FirstSeen = t.at
	}
	if t.at.After(a.LastSeen) {
		a.LastSeen = t.at
	}
	if i, there := slices.BinarySearch(a.Sources, t.f.Source); !there {
		a.Sources = slices.Insert(slices.Clone(a.Sources), i, t.f.Source)
	}
	if t.shown {
		t.state.show(a, t.f)
	}
}

// severity gives the alert's severity: that of its sources, or one set by hand
// for as long as they do not exceed it.
func (s *State) severity(sources uint8) hub.Severity {
	if sources > max(s.override, s.overrode) {
		s.override = 0
	}
	if s.override != 0 {
		return severity(s.override)
	}
	return severity(sources)
}

// show puts the finding's texts and details into a. What f does not have stays.
func (s *State) show(a *hub.Alert, f *hub.Finding) {
	switch {
	case f.Title != "":
		a.Title = f.Title
	case a.Title == "":
		a.Title = title(f)
	}
	if f.Description != "" {
		a.Description = f.Description
	}
	if f.Asset != nil {
		a.Asset = f.Asset
	}
	if f.Vulnerability != nil {
		a.Vulnerability = f.Vulnerability
	}
	if f.Compliance != nil {
		a.Compliance = f.Compliance
	}
	if f.RiskScore != nil {
		a.RiskScore = f.RiskScore
	}
	if len(f.Payload) > 0 {
		a.Payload = f.Payload
	}
	s.label(a, f.Labels)
}

// label gives a the labels of a finding, but for those set by hand.
func (s *State) label(a *hub.Alert, labels map[string]string) {
	if len(labels) == 0 || maps.Equal(a.Labels, labels) {
		return
	}
	if len(s.labels) == 0 {
		a.Labels = labels
		return
	}
	merged := make(map[string]string, len(labels)+len(s.labels))
	for k, v := range labels {
		if _, ours := slices.BinarySearch(s.labels, k); !ours {
			merged[k] = v
		}
	}
	for _, k := range s.labels {
		if v, there := a.Labels[k]; there {
			merged[k] = v
		}
	}
	a.Labels = merged
}

// title makes one for a finding that has none.
func title(f *hub.Finding) string {
	switch {
	case f.AssetID != "":
		return f.Type + " on " + f.AssetID
	case f.Asset != nil && f.Asset.Name != "":
		return f.Type + " on " + f.Asset.Name
	}
	return f.Type
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
