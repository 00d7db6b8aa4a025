package edgetelemetry

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An entry is one of the audit log, as the document shows it.
type entry struct {
	ID           inbound.Text   `json:"id"`
	Timestamp    inbound.Time   `json:"timestamp"`
	UserEmail    inbound.Text   `json:"user_email"`
	Action       inbound.Text   `json:"action"`
	ResourceType inbound.Text   `json:"resource_type"`
	ResourceID   inbound.Text   `json:"resource_id"`
	IP           inbound.Text   `json:"ip_address"`
	UserAgent    inbound.Text   `json:"user_agent"`
	Method       inbound.Text   `json:"request_method"`
	Path         inbound.Text   `json:"request_path"`
	Status       inbound.Number `json:"response_status"`
	Hash         inbound.Text   `json:"integrity_hash"`

	raw jsontext.Value
}

func readEntry(raw jsontext.Value) (entry, bool) {
	e := entry{raw: raw}
	err := json.Unmarshal(raw, &e)
	return e, err == nil && e.ID != ""
}

// audit reads the next entries of the audit log since the last sweep. The end of
// the time asked for is fixed, so that what is logged meanwhile shifts little; an
// entry never changes, so its memory takes it for closed.
func (w *pull) audit(ctx context.Context) (done bool, err error) {
	m := w.memory("audit")
	start := w.Begun.IsZero()
	from := m.Horizon()
	if m.Sweeps() == 0 {
		from = w.Started.Add(-time.Duration(w.source.cfg.History))
	}
	until := w.Started.Add(time.Minute) // for a clock that is a little ahead of the one in their answers
	items, at, err := w.source.list(ctx, "/audit/logs", url.Values{
		"start_time": {iso(from)}, "end_time": {iso(until)}, "limit": {strconv.Itoa(firstLimit)}, "offset": {strconv.Itoa(w.Offset)},
	})
	if err != nil {
		return false, err
	}
	w.begin(at)
	if start {
		m.Begin(from)
	}
	first := ""
	if len(items) > 0 {
		first = readFields(items[0]).text("id")
	}
	stuck := w.Offset > 0 && first != "" && first == w.First
	for i, raw := range items {
		e, ok := readEntry(raw)
		if !ok {
			w.page.Refuse(i, raw, "an entry of the audit log without a usable id")
		}
		if !ok || !e.wanted(&w.source.cfg) {
			continue
		}
		at := e.Timestamp.Time
		if at.IsZero() {
			at = w.now
		}
		s := connectors.Sighting{ID: string(e.ID), Closed: true, Created: at, At: at, Rank: 1}
		if place, tell := m.Observe(s, w.now, w.source.cfg.MaxTracked); tell {
			w.tell(e.finding(w.source.asset), place)
		}
	}
	w.Offset, w.First = w.Offset+len(items), first
	w.stuck(stuck)
	if len(items) > 0 && !stuck { // fewer than were asked for need not be the last: there may be a limit of theirs
		return false, nil
	}
	m.End(w.Begun.Add(-margin))
	return true, nil
}

// stuck tells people of a log that does not go on: its offset is not heeded.
func (w *pull) stuck(is bool) {
	const name = "audit log beyond a page"
	if is {
		w.source.miss(name, "the same entries come whatever the offset, so that older ones cannot be seen")
	} else if w.Offset == 0 || w.First == "" {
		w.source.found(name)
	}
}

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// wanted says whether an entry becomes a finding: its action is one of the
// patterns, or it was refused. What the hub's own user was allowed is not.
func (e entry) wanted(c *config) bool {
	if e.refused() {
		return true
	}
	if strings.EqualFold(string(e.UserEmail), c.Email) {
		return false
	}
	return slices.ContainsFunc(c.AuditActions, func(p string) bool {
		ok, err := path.Match(p, strings.ToLower(string(e.Action)))
		return ok && err == nil
	})
}

// refused reports whether somebody was not let in, or not allowed.
func (e entry) refused() bool {
	return e.Status.Int() == 401 || e.Status.Int() == 403
}

// finding maps an entry. Entries of one action by one user are one alert, and
// refusals another.
func (e entry) finding(organization string) hub.Finding {
	user, outcome := strings.ToLower(string(e.UserEmail)), "done"
	if e.refused() {
		outcome = "refused"
	}
	status := ""
	if e.Status.Given {
		status = strconv.FormatFloat(e.Status.Value, 'f', -1, 64)
	}
	f := hub.Finding{
		SourceID: inbound.Key("audit", string(e.ID)), DedupKey: inbound.Key("audit", organization, string(e.Action), user, outcome),
		Type: "policy", AssetID: inbound.First(user, organization), Severity: hub.Low, Status: hub.FindingOpen,
		Title: string(e.Action) + " by " + inbound.First(user, "nobody known"), ObservedAt: e.Timestamp.Time, SourceSequence: 1,
		Labels: map[string]string{
			"edgetelemetry_action": string(e.Action), "edgetelemetry_user": user, "edgetelemetry_resource": string(e.ResourceType),
			"edgetelemetry_resource_id": string(e.ResourceID), "edgetelemetry_ip": string(e.IP), "edgetelemetry_outcome": outcome,
			"edgetelemetry_request": strings.TrimSpace(string(e.Method + " " + e.Path)), "edgetelemetry_response_status": status,
			"edgetelemetry_integrity_hash": string(e.Hash),
		},
		Payload: inbound.Object(map[string]any{"action": e.Action, "user_email": user, "resource_type": e.ResourceType}), Raw: e.raw,
	}
	action, about := strings.ToLower(string(e.Action)), strings.ToLower(string(e.ResourceType))
	switch {
	case e.refused() && (about == "auth" || strings.Contains(action, "login")):
		f.Type, f.Severity = "brute_force", hub.Medium
	case e.refused():
		f.Type, f.Severity = "iam", hub.Medium
	case about == "auth" || about == "users" || about == "roles" || strings.Contains(action, "mfa") || strings.Contains(action, "permission"):
		f.Type, f.Severity = "iam", hub.Medium
	case strings.Contains(action, "export") || strings.Contains(action, "delete"):
		f.Severity = hub.Medium
	}
	if e.refused() {
		f.Title += " was refused with " + status
	}
	inbound.Tidy(&f)
	return f
}
