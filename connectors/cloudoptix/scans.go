package cloudoptix

import (
	"context"
	"fmt"
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

// A scan is one that an action has begun and whose result is to become findings.
type scan struct {
	Kind   string    `json:"kind"` // image or iac
	ID     string    `json:"id"`
	Repo   string    `json:"repo,omitempty"`
	Branch string    `json:"branch,omitempty"`
	Since  time.Time `json:"since"`
}

const (
	scanImage = "image"
	scanIaC   = "iac"
	// patience is how long a scan's result is waited for.
	patience = day
	// maxScans bounds how many scans are awaited at once.
	maxScans = 1000
)

// await hands a scan to the next pull, and asks for one.
func (s *Source) await(c scan) {
	if c.ID == "" {
		return
	}
	s.mu.Lock()
	if len(s.scans) < maxScans {
		s.scans = append(s.scans, c)
	}
	s.mu.Unlock()
	if s.wake != nil {
		s.wake()
	}
}

// adopt takes the scans that actions have begun into the cursor.
func (w *pull) adopt() {
	w.source.mu.Lock()
	defer w.source.mu.Unlock()
	for _, c := range w.source.scans {
		w.taken = append(w.taken, c)
		w.unsaved++
		if len(w.Scans) < maxScans && !slices.ContainsFunc(w.Scans, c.same) {
			w.Scans = append(w.Scans, c)
		}
	}
}

func (c scan) same(o scan) bool { return c.Kind == o.Kind && c.ID == o.ID }

// adopted forgets the scans that are in a stored cursor.
func (s *Source) adopted(taken []scan) {
	if len(taken) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scans = slices.DeleteFunc(s.scans, func(c scan) bool { return slices.ContainsFunc(taken, c.same) })
}

// scanned asks for the result of every scan once.
func (w *pull) scanned(ctx context.Context) error {
	for _, c := range slices.Clone(w.Scans) {
		over, err := w.result(ctx, c)
		switch kind := hub.KindOf(err); {
		case kind == hub.NotFound || kind == hub.Invalid || kind == hub.Forbidden:
			w.reject(c, "the result cannot be had: "+err.Error())
			over = true
		case err != nil:
			return err
		case !over && w.now.Sub(c.Since) > patience:
			w.reject(c, "it is not done after a day")
			over = true
		}
		if over {
			w.Scans = slices.DeleteFunc(w.Scans, c.same)
			if err := w.hand(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// reject keeps a scan without a result for people to look at.
func (w *pull) reject(c scan, why string) {
	item, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		item = nil // the reason is worth more
	}
	w.page.Rejects = append(w.page.Rejects, connectors.Reject{Error: fmt.Sprintf("%s scan %s: %s", c.Kind, c.ID, why), Item: item})
}

func (w *pull) result(ctx context.Context, c scan) (over bool, err error) {
	if c.Kind == scanImage {
		return w.imageResult(ctx, c)
	}
	return w.templateResult(ctx, c)
}

// An image is what a scan found in an image.
type image struct {
	Tag      inbound.Text                    `json:"fullTag"`
	Registry inbound.Text                    `json:"registry"`
	Counts   map[inbound.Text]inbound.Number `json:"vulnerabilities"`
	Files    jsontext.Value                  `json:"files"`
	Public   *bool                           `json:"isPublic"`
	Secure   *bool                           `json:"isSecure"`

	raw jsontext.Value
}

func (w *pull) imageResult(ctx context.Context, c scan) (bool, error) {
	var out struct {
		Status    string           `json:"status"`
		Completed inbound.Time     `json:"completedAt"`
		Images    []jsontext.Value `json:"scanResult"`
	}
	at, err := w.source.get(ctx, "/image-scanning/get-scan-result", url.Values{"taskId": {c.ID}}, &out)
	if err != nil {
		return false, err
	}
	switch strings.ToLower(out.Status) {
	case "failed":
		w.reject(c, "Cloud Optix says that it failed")
		return true, nil
	case "complete", "completed":
	default:
		return false, nil
	}
	if out.Completed.IsZero() {
		out.Completed.Time = at
	}
	for _, raw := range out.Images {
		i := image{raw: raw}
		if json.Unmarshal(raw, &i) != nil || i.Tag == "" {
			w.reject(c, "an image of its result cannot be read")
			continue
		}
		w.page.Findings = append(w.page.Findings, i.finding(c, out.Completed.Time))
	}
	return true, nil
}

// finding maps the result of an image: open while there is anything in it. The
// identity is the image's full tag, so that a later scan of it goes on here.
func (i image) finding(c scan, at time.Time) hub.Finding {
	tag := string(i.Tag)
	if !strings.HasPrefix(tag, string(i.Registry)) {
		tag = string(i.Registry) + "/" + tag
	}
	f := hub.Finding{
		SourceID: inbound.Key("image", tag), Type: "vulnerability", AssetID: tag, Severity: hub.Info, Status: hub.FindingResolved,
		Title: "No vulnerabilities in image " + tag, ObservedAt: at, Raw: i.raw,
		Asset:  &hub.Asset{Type: "container_image", Name: tag},
		Labels: map[string]string{"cloudoptix_task_id": c.ID, "repository": c.Repo, "branch": c.Branch},
	}
	var parts []string
	for _, s := range []hub.Severity{hub.Critical, hub.High, hub.Medium, hub.Low} {
		n := i.Counts[inbound.Text(s)].Int()
		if n <= 0 {
			continue
		}
		if len(parts) == 0 {
			f.Severity, f.Status = s, hub.FindingOpen
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, s))
	}
	if len(parts) > 0 {
		f.Title = "Vulnerabilities in image " + tag + ": " + strings.Join(parts, ", ")
	} else if i.Secure != nil && !*i.Secure {
		f.Severity, f.Status, f.Title = hub.Medium, hub.FindingOpen, "Image "+tag+" is not secure"
	}
	f.Payload = inbound.Object(map[string]any{"registry": string(i.Registry), "files": i.Files, "vulnerabilities": strings.Join(parts, ", ")})
	inbound.Tidy(&f)
	return f
}

// A fault is one misconfiguration that a scan found in templates.
type fault struct {
	Summary inbound.Text `json:"alertSummary"`
	Level   inbound.Text `json:"criticalLevel"`
	Details inbound.Text `json:"alertDetails"`

	raw jsontext.Value
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
		w.reject(c, inbound.Said(w.source.cfg.APIKey.Scrub(connectors.Quote(string(status.Error))), "Cloud Optix says that it failed"))
		return true, nil
	}
	var report struct {
		Alerts []jsontext.Value `json:"alerts"`
	}
	if _, err := w.source.get(ctx, "/iac/scan/detailedReport", query, &report); err != nil {
		return false, err
	}
	for _, raw := range report.Alerts {
		x := fault{raw: raw}
		if json.Unmarshal(raw, &x) != nil || x.Summary == "" {
			w.reject(c, "an alert of its report cannot be read")
			continue
		}
		w.page.Findings = append(w.page.Findings, x.finding(c, at))
	}
	return true, nil
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
