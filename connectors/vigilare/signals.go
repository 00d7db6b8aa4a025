package vigilare

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A signal is one finding of an account.
type signal struct {
	ID          string         `json:"signal_id"`
	Scenario    string         `json:"scenario"`
	Severity    string         `json:"severity"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	DetectedAt  string         `json:"detected_at"`
	ResolvedAt  string         `json:"resolved_at"`
	Others      jsontext.Value `json:",embed"`

	raw jsontext.Value
}

// readSignal decodes one signal; false if it is none or has no id.
func readSignal(raw jsontext.Value) (signal, bool) {
	g := signal{raw: raw}
	err := json.Unmarshal(raw, &g)
	return g, err == nil && g.ID != ""
}

func (g signal) closed() bool { return g.ResolvedAt != "" }

// sighting is the signal as its memory sees it. What a signal says while it is
// open has no time of its own but its detection.
func (g signal) sighting() connectors.Sighting {
	s := connectors.Sighting{
		ID: g.ID, Closed: g.closed(), Created: inbound.ParseTime(g.DetectedAt), Rank: 1,
		Digest: connectors.DigestOf(g.Scenario, g.Severity, g.Title, g.Description),
	}
	if g.closed() {
		s.At, s.Rank = inbound.ParseTime(g.ResolvedAt), 2
	}
	return s
}

// signals reads one page of an account's signals.
func (w *pull) signals(ctx context.Context, id string) error {
	m := w.watch(id)
	if w.Since.IsZero() {
		m.Signals.Begin(w.Started.Add(-time.Duration(w.source.cfg.History)))
		w.Since, w.Open, w.Token = w.since(m), nil, ""
	}
	query := url.Values{"limit": {pageLimit}, "since": {w.Since.UTC().Format(time.RFC3339)}}
	if w.Token != "" {
		query.Set("next_token", w.Token)
	}
	var out struct {
		Signals []jsontext.Value `json:"signals"`
		Next    string           `json:"next_token"`
	}
	answer, err := w.source.get(ctx, "/accounts/"+id+"/signals", query, &out)
	switch {
	case hub.KindOf(err) == hub.NotFound: // gone since the list of accounts
		return w.next(m, false)
	case w.refusedToken(err):
		w.Open = nil
		return nil
	case err != nil:
		return err
	}
	w.now, w.dirty = answer.At.Add(tick), true
	if err := w.take(ctx, w.accounts[id], m, out.Signals); err != nil {
		return err
	}
	w.dirty = false
	if out.Next == "" {
		return w.next(m, true)
	}
	if out.Next == w.Token {
		return hub.E(hub.Transient, "Vigilare gives the same page of signals again and again")
	}
	w.Token = out.Next
	return w.hand(false)
}

// refusedToken starts a walk anew whose next_token is no longer good.
func (w *pull) refusedToken(err error) bool {
	if w.Token == "" || w.restarted || hub.KindOf(err) != hub.Invalid {
		return false
	}
	w.Token, w.restarted = "", true
	return true
}

// since is from when on signals are read: the oldest open one, and all that are
// new. Open ones older than the history are looked for once in a while only.
func (w *pull) since(m *watched) time.Time {
	from, back := m.Signals.Oldest(), w.Started.Add(-time.Duration(w.source.cfg.History))
	if w.Deep == from.After(back) {
		from = back // deep: as far back at least; else: no farther
	}
	return from.Add(-time.Second)
}

// take compares a page of signals with what is remembered.
func (w *pull) take(ctx context.Context, a account, m *watched, page []jsontext.Value) error {
	for i, raw := range page {
		g, ok := readSignal(raw)
		if !ok {
			w.page.Refuse(i, raw, "a signal of account "+a.ID+" without a usable id")
			continue
		}
		if !g.closed() && !slices.Contains(w.Open, g.Scenario) {
			w.Open = append(w.Open, g.Scenario)
		}
		place, tell := m.Signals.Observe(g.sighting(), w.now, w.source.cfg.MaxTracked)
		if !tell {
			continue
		}
		f := g.finding(a, w.source.cfg.Identity)
		if !g.closed() {
			steps, err := w.checklist(ctx, a.ID)
			if err != nil {
				return err
			}
			attach(&f, steps)
		}
		f.ObservedAt, f.SourceSequence, f.ObservedGiven = place.At, place.Sequence, true
		w.page.Findings = append(w.page.Findings, f)
	}
	return nil
}

// next goes on to the next account. whole says that all signals were read.
func (w *pull) next(m *watched, whole bool) error {
	m.Known = whole && m.Signals.Unseen() == 0
	m.Busy = w.Open
	m.Signals.End(w.Started.Add(-margin))
	w.Todo = w.Todo[1:]
	w.Since, w.Open, w.Token = time.Time{}, nil, ""
	return w.hand(false)
}

// finding maps a signal of an account.
func (g signal) finding(a account, identity string) hub.Finding {
	f := hub.Finding{
		SourceID: inbound.Key(a.ID, g.Scenario, g.ID), Type: kindOf(g.Scenario), AssetID: a.ID, Asset: a.asset(),
		Severity: inbound.SeverityOr(g.Severity, hub.High), Status: hub.FindingOpen, Title: g.Title, Description: g.Description,
		Labels: map[string]string{"vigilare_scenario": g.Scenario, "vigilare_signal_id": g.ID, "aws_account": a.ID},
		Raw:    g.raw, Payload: g.payload(),
	}
	if _, known := inbound.Severity(g.Severity); !known {
		f.Labels["vigilare_severity"] = g.Severity
	}
	if identity == "title" {
		f.SourceID = inbound.Key(a.ID, g.Scenario, "title", g.Title)
	}
	if g.closed() {
		f.Status = hub.FindingResolved
	}
	if f.Title == "" {
		f.Title = strings.TrimSpace(g.Scenario + " signal on " + a.name())
	}
	f.ObservedAt = inbound.ParseTime(g.DetectedAt)
	if g.closed() {
		f.ObservedAt = inbound.ParseTime(g.ResolvedAt)
	}
	inbound.Tidy(&f)
	return f
}

// payload is what stays the same while the signal does.
func (g signal) payload() jsontext.Value {
	members := map[string]any{"scenario": g.Scenario}
	others := map[string]jsontext.Value{}
	if len(g.Others) > 0 && json.Unmarshal(g.Others, &others) == nil {
		for name, v := range others {
			members[name] = v
		}
	}
	return inbound.Object(members)
}

// asset describes the account as a finding's asset.
func (a account) asset() *hub.Asset {
	tags := map[string]string{}
	for _, t := range a.Tags {
		tags[t] = "true"
	}
	return &hub.Asset{Type: "aws_account", Provider: "aws", Account: a.ID, Name: a.name(), Tags: tags}
}

// kindOf maps a scenario, of which the document names two.
func kindOf(scenario string) string {
	word := strings.ToLower(scenario)
	if slices.Contains(hub.FindingTypes[:], word) {
		return word
	}
	switch word {
	case "identity", "root", "credentials", "access_keys":
		return "iam"
	case "cost", "spend", "budget":
		return "billing"
	case "storage", "s3", "public_access", "logging", "cloudtrail", "encryption", "config":
		return "misconfiguration"
	case "exposure", "security_group", "vpc":
		return "network"
	}
	return "custom"
}
