package cloudoptix

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

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
	var body jsontext.Value
	at, err := w.source.get(ctx, "/image-scanning/get-scan-result", url.Values{"taskId": {c.ID}}, &body)
	if err != nil {
		return false, err
	}
	return w.put(readTask(body, c, at)), nil
}

// readTask reads the result of a scan of images, as it is at a time.
func readTask(body []byte, c scan, at time.Time) outcome {
	var in struct {
		Status    string           `json:"status"`
		Completed inbound.Time     `json:"completedAt"`
		Images    []jsontext.Value `json:"scanResult"`
	}
	if json.Unmarshal(body, &in) != nil {
		return without(c, "its result cannot be read")
	}
	switch strings.ToLower(in.Status) {
	case "failed":
		return without(c, "Cloud Optix says that it failed")
	case "complete", "completed":
	default:
		return outcome{}
	}
	if in.Completed.IsZero() {
		in.Completed.Time = at
	}
	out := outcome{over: true}
	for n, raw := range in.Images {
		i := image{raw: raw}
		if json.Unmarshal(raw, &i) != nil || i.Tag == "" {
			out.Rejects = append(out.Rejects, connectors.Reject{Index: n, Error: c.name() + ": an image without a usable fullTag", Item: raw})
			continue
		}
		out.Findings = append(out.Findings, i.finding(c, in.Completed.Time))
	}
	return out
}

// readImage reads what is known of one image; nothing if that is nothing.
func readImage(body []byte, at time.Time) outcome {
	var in struct {
		Data jsontext.Value `json:"data"`
	}
	var i image
	if json.Unmarshal(body, &in) != nil || len(in.Data) == 0 || json.Unmarshal(in.Data, &i) != nil || i.Tag == "" {
		return outcome{}
	}
	i.raw = in.Data
	return outcome{over: true, Batch: connectors.Batch{Findings: []hub.Finding{i.finding(scan{}, at)}}}
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
