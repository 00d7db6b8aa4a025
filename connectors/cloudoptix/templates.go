package cloudoptix

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A fault is one misconfiguration that a scan found in templates.
type fault struct {
	Summary inbound.Text `json:"alertSummary"`
	Level   inbound.Text `json:"criticalLevel"`
	Details inbound.Text `json:"alertDetails"`

	raw jsontext.Value
}

// A report is what the last scan of the same templates found, so that the next one
// shows what is mended. Templates are the same if they are of one repository and
// branch, were given under the same names, and were held against the same policies:
// a scan of other files says nothing of these.
type report struct {
	Since time.Time `json:"since"` // when the scan was begun
	Open  []trace   `json:"open"`
}

// A trace is what is needed of a misconfiguration to tell that it is mended.
type trace struct {
	ID       string       `json:"id"`
	Title    string       `json:"title"`
	Severity hub.Severity `json:"severity"`
}

// maxTraces bounds what is remembered of all reports.
const maxTraces = 2000

// compare adds what an earlier scan of the same templates found and this one did
// not, as resolved, unless other templates have it too.
func (w *pull) compare(c scan, out *outcome, at time.Time) {
	before := w.Reports[c.Scope]
	if c.Scope == "" || len(out.Rejects) > 0 || before != nil && before.Since.After(c.Since) {
		return
	}
	now := &report{Since: c.Since}
	for _, f := range out.Findings {
		now.Open = append(now.Open, trace{f.SourceID, f.Title, f.Severity})
	}
	w.Reports[c.Scope] = now
	if before != nil {
		for _, t := range before.Open {
			if !w.found(t.ID) {
				out.Findings = append(out.Findings, t.resolved(c, at))
			}
		}
	}
	w.forget()
}

// found reports whether the last scan of any templates found it.
func (w *pull) found(id string) bool {
	for _, r := range w.Reports {
		if slices.ContainsFunc(r.Open, func(t trace) bool { return t.ID == id }) {
			return true
		}
	}
	return false
}

// forget drops reports without misconfigurations, and the oldest beyond the bound.
func (w *pull) forget() {
	total := 0
	for scope, r := range w.Reports {
		if total += len(r.Open); len(r.Open) == 0 {
			delete(w.Reports, scope)
		}
	}
	for total > maxTraces {
		oldest := ""
		for scope, r := range w.Reports {
			if oldest == "" || r.Since.Before(w.Reports[oldest].Since) {
				oldest = scope
			}
		}
		total -= len(w.Reports[oldest].Open)
		delete(w.Reports, oldest)
	}
}

func (t trace) resolved(c scan, at time.Time) hub.Finding {
	f := hub.Finding{
		SourceID: t.ID, Type: "misconfiguration", AssetID: c.Repo, Severity: t.Severity, Status: hub.FindingResolved, Title: t.Title, ObservedAt: at,
		Asset:  &hub.Asset{Type: "repository", Name: c.Repo},
		Labels: map[string]string{"cloudoptix_scan_id": c.ID, "repository": c.Repo, "branch": c.Branch},
	}
	inbound.Tidy(&f)
	return f
}

func (w *pull) templateResult(ctx context.Context, c scan) (bool, error) {
	query := url.Values{"scan_id": {c.ID}}
	var status struct {
		Ongoing bool         `json:"processing_ongoing"`
		Success bool         `json:"success"`
		Error   inbound.Text `json:"error"`
	}
	at, err := w.source.get(ctx, "/iac/scan/status", query, &status)
	switch {
	case err != nil:
		return false, err
	case status.Ongoing:
		return false, nil
	case !status.Success:
		why := w.source.cfg.APIKey.Scrub(connectors.Quote(string(status.Error)))
		return w.put(without(c, inbound.Said(why, "Cloud Optix says that it failed"))), nil
	}
	var report jsontext.Value
	if _, err := w.source.get(ctx, "/iac/scan/detailedReport", query, &report); err != nil {
		return false, err
	}
	out := readReport(report, c, at)
	w.compare(c, &out, at)
	return w.put(out), nil
}

// readReport reads the report of a scan of templates.
func readReport(body []byte, c scan, at time.Time) outcome {
	var in struct {
		Alerts []jsontext.Value `json:"alerts"`
	}
	if json.Unmarshal(body, &in) != nil {
		return without(c, "its report cannot be read")
	}
	out := outcome{over: true}
	for n, raw := range in.Alerts {
		x := fault{raw: raw}
		if json.Unmarshal(raw, &x) != nil || x.Summary == "" {
			out.Rejects = append(out.Rejects, connectors.Reject{Index: n, Error: c.name() + ": an alert without a usable alertSummary", Item: raw})
			continue
		}
		out.Findings = append(out.Findings, x.finding(c, at))
	}
	return out
}

// finding maps a misconfiguration. A later scan of the same repository and
// branch finds it again; without a repository it belongs to its scan.
func (x fault) finding(c scan, at time.Time) hub.Finding {
	of, asset := []string{"iac", "scan", c.ID}, "iac:"+c.ID
	if c.Repo != "" {
		of, asset = []string{"iac", c.Repo, c.Branch}, c.Repo
	}
	f := hub.Finding{
		SourceID: inbound.Key(append(of, string(x.Summary), string(x.Details))...), Type: "misconfiguration", AssetID: asset,
		Severity: inbound.SeverityOr(string(x.Level), hub.High), Status: hub.FindingOpen, Title: string(x.Summary), Description: string(x.Details),
		ObservedAt: at, Raw: x.raw, Asset: &hub.Asset{Type: "repository", Name: asset},
		Labels: map[string]string{"cloudoptix_scan_id": c.ID, "repository": c.Repo, "branch": c.Branch},
	}
	inbound.Tidy(&f)
	return f
}
