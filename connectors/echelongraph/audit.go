package echelongraph

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An entry is one of the audit trail.
type entry struct {
	ID        inbound.Text   `json:"id"`
	Action    inbound.Text   `json:"action"`
	User      inbound.Text   `json:"user"`
	Resource  inbound.Text   `json:"resource"`
	IP        inbound.Text   `json:"ip"`
	Outcome   inbound.Text   `json:"outcome"`
	CreatedAt inbound.Time   `json:"created_at"`
	Others    jsontext.Value `json:",embed"`

	raw jsontext.Value
}

func readEntry(raw jsontext.Value) (entry, bool) {
	e := entry{raw: raw}
	err := json.Unmarshal(raw, &e)
	return e, err == nil && e.ID != ""
}

// audit reads the next page of the audit trail since the last sweep. An entry
// never changes, so its memory takes it for closed.
func (w *pull) audit(ctx context.Context) (done bool, err error) {
	m := w.memory("audit")
	from := m.Horizon()
	if m.Sweeps() == 0 {
		from = w.Started.Add(-time.Duration(w.source.cfg.History))
	}
	p, err := w.source.list(ctx, w.source.path("audit"), w.Page+1, url.Values{"from": {from.UTC().Format(time.RFC3339)}})
	if err != nil {
		return false, err
	}
	first := w.Begun.IsZero()
	w.clock(p.at)
	if first {
		m.Begin(from)
	}
	for i, raw := range p.Data {
		e, ok := readEntry(raw)
		if !ok {
			w.page.Refuse(i, raw, "an entry of the audit log without a usable id")
		}
		if !ok || !e.wanted(w.source.cfg.AuditActions) {
			continue
		}
		at := e.CreatedAt.Time
		if at.IsZero() {
			at = w.now
		}
		s := connectors.Sighting{ID: string(e.ID), Closed: true, Created: at, At: at, Rank: 1}
		if place, tell := m.Observe(s, w.now, w.source.cfg.MaxTracked); tell {
			w.tell(e.finding(w.source.asset), place)
		}
	}
	w.Page++
	w.Seen += len(p.Data)
	if p.more(w.Seen) {
		return false, nil
	}
	m.End(w.Begun.Add(-margin))
	return true, nil
}

// wanted says whether an entry's action is one of the patterns.
func (e entry) wanted(patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, strings.ToLower(string(e.Action)))
		return ok && err == nil
	})
}

// failed reports whether what was tried did not come about.
func (e entry) failed() bool {
	text := strings.ToLower(string(e.Action + " " + e.Outcome))
	return strings.Contains(text, "fail") || strings.Contains(text, "denied") || strings.Contains(text, "refused")
}

// finding maps an entry. Entries of one action by one user are one alert.
func (e entry) finding(organization string) hub.Finding {
	user := strings.ToLower(string(e.User))
	f := hub.Finding{
		SourceID: inbound.Key("audit", string(e.ID)), DedupKey: inbound.Key("audit", organization, string(e.Action), user),
		Type: "policy", AssetID: user, Severity: hub.Low, Status: hub.FindingOpen,
		Title: strings.TrimSpace(string(e.Action) + " by " + user), ObservedAt: e.CreatedAt.Time, SourceSequence: 1,
		Labels: map[string]string{
			"echelongraph_action": string(e.Action), "echelongraph_user": user, "echelongraph_resource": string(e.Resource),
			"echelongraph_ip": string(e.IP), "echelongraph_outcome": string(e.Outcome),
		},
		Payload: inbound.Object(map[string]any{"action": e.Action, "user": user}), Raw: e.raw,
	}
	word := strings.ToLower(string(e.Action))
	switch {
	case strings.HasPrefix(word, "auth") || strings.HasPrefix(word, "permission") || strings.HasPrefix(word, "role") || strings.HasPrefix(word, "mfa"):
		f.Type, f.Severity = "iam", hub.Medium
	case strings.Contains(word, "export"):
		f.Severity = hub.Medium
	}
	if e.failed() {
		f.Severity = hub.Medium
	}
	if f.AssetID == "" {
		f.AssetID = organization
	}
	inbound.Tidy(&f)
	return f
}
