package echelongraph

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A list is one that is swept. Its stages are:
//
//   - all items, newest first, until those of earlier sweeps are reached: finds
//     what is new, also what was opened and closed since the last sweep;
//   - each of the open statuses, in full: changes of older items;
//   - each of the closed ones, while an item that was open is missing.
//
// Items shift between pages while somebody changes them, so a stage may miss
// one. That loses nothing: what is remembered as open stays so until one of the
// lists says otherwise, and is looked for again.
type list struct {
	name         string
	open, closed []string
	finding      func(entity) hub.Finding
}

var lists = map[string]list{
	"alerts":          {"alerts", []string{"open", "acknowledged"}, []string{"resolved", "dismissed"}, entity.alert},
	"detections":      {"detections", []string{"open", "acknowledged"}, []string{"resolved", "dismissed"}, entity.alert},
	"incidents":       {"incidents", []string{"open", "investigating"}, []string{"resolved", "closed"}, entity.incident},
	"vulnerabilities": {"vulnerabilities", []string{"open", "in_progress"}, []string{"resolved", "ignored"}, entity.vulnerability},
}

// status is the filter of a stage, "" for the first.
func (l list) status(stage int) string {
	switch {
	case stage == 0:
		return ""
	case stage <= len(l.open):
		return l.open[stage-1]
	}
	return l.closed[stage-1-len(l.open)]
}

func (l list) stages() int { return 1 + len(l.open) + len(l.closed) }

// sweep reads the next page of a list.
func (w *pull) sweep(ctx context.Context, l list) (done bool, err error) {
	query := url.Values{}
	if status := l.status(w.Stage); status != "" {
		query.Set("status", status)
	}
	p, err := w.source.list(ctx, w.source.path(l.name), w.Page+1, query)
	if err != nil {
		return false, err
	}
	first := w.Begun.IsZero()
	w.clock(p.at)
	m := w.memory(l.name)
	if first {
		m.Begin(w.Begun.Add(-time.Duration(w.source.cfg.History)))
	}
	w.read(ctx, l, m, p.Data)
	w.Page++
	w.Seen += len(p.Data)
	if p.more(w.Seen) && !w.enough(l, m, len(p.Data)) {
		return false, nil
	}
	return w.nextStage(l, m), nil
}

// read compares a page with what is remembered.
func (w *pull) read(ctx context.Context, l list, m *connectors.Memory, page []jsontext.Value) {
	extra := budget{remedies: 20, blasts: 5}
	last := w.Newest
	for i, raw := range page {
		x, ok := readEntity(raw)
		if !ok {
			w.page.Refuse(i, raw, "an entry of "+l.name+" without a usable id")
			continue
		}
		w.Unordered = w.Unordered || !last.IsZero() && x.CreatedAt.After(last)
		if last = x.CreatedAt.Time; i == 0 {
			w.Newest = last
		}
		place, tell := m.Observe(x.sighting(), w.now, w.source.cfg.MaxTracked)
		if !tell || w.source.own.did(l.name, x) {
			continue
		}
		f := l.finding(x)
		f.ObservedAt, f.SourceSequence, f.ObservedGiven = place.At, place.Sequence, true
		w.enrich(ctx, l, x, &f, &extra)
		w.page.Findings = append(w.page.Findings, f)
	}
}

// enough reports whether the rest of a stage can hold nothing of use.
func (w *pull) enough(l list, m *connectors.Memory, n int) bool {
	switch {
	case w.Stage == 0:
		return !w.Unordered && n > 0 && w.Newest.Before(m.Horizon())
	case w.Stage > len(l.open):
		return m.Missing() == 0
	}
	return false
}

// nextStage goes on to the next stage; done says that there is none.
func (w *pull) nextStage(l list, m *connectors.Memory) (done bool) {
	w.Stage++
	w.Page, w.Seen = 0, 0
	if w.Stage < l.stages() && (w.Stage <= len(l.open) || m.Missing() > 0) {
		return false
	}
	m.End(w.Begun.Add(-margin))
	return true
}

// A budget is how many more calls one page may cause.
type budget struct{ remedies, blasts int }

// enrich adds what EchelonGraph knows beside an item. An item never waits for
// it: what cannot be had now is left out.
func (w *pull) enrich(ctx context.Context, l list, x entity, f *hub.Finding, left *budget) {
	if f.Status != hub.FindingOpen || f.Severity.Rank() < hub.High.Rank() || !plainID(string(x.ID)) {
		return
	}
	switch {
	case l.name == "vulnerabilities" && left.remedies > 0:
		left.remedies--
		w.source.remedy(ctx, x, f)
	case (l.name == "alerts" || l.name == "detections") && f.Severity == hub.Critical && x.AssetID != "" && left.blasts > 0 && w.source.cfg.BlastDepth > 0:
		left.blasts--
		f.Labels["echelongraph_blast_radius"] = w.blast(ctx, string(x.AssetID))
		if f.Labels["echelongraph_blast_radius"] == "" {
			delete(f.Labels, "echelongraph_blast_radius")
		}
	}
}

// A remedy is EchelonGraph's recommendation for a vulnerability.
type remedy struct {
	Priority       int    `json:"priority"`
	Recommendation string `json:"recommendation"`
	Status         string `json:"status"`
	Progress       int    `json:"progress"`
}

// remedy writes a recommendation into a vulnerability's finding: for people
// behind the description, and as labels.
func (s *Source) remedy(ctx context.Context, x entity, f *hub.Finding) {
	var r remedy
	_, err := s.get(ctx, s.path("vulnerabilities")+"/"+url.PathEscape(string(x.ID))+"/remediation", nil, &r)
	if err != nil || r.Recommendation == "" {
		return
	}
	if f.Description != "" {
		f.Description += "\n\n"
	}
	f.Description += fmt.Sprintf("Remediation (priority %d, %s): %s", r.Priority, r.Status, r.Recommendation)
	f.Labels["echelongraph_remediation"] = r.Recommendation
	f.Labels["echelongraph_priority"] = fmt.Sprint(r.Priority)
}
