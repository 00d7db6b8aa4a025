package cybervault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// Receive takes a webhook. Its signature is the hex HMAC-SHA256 of the body
// with the webhook's secret, in X-CV-Signature.
//
// The signature holds no time, so an old request can be sent again by whoever
// has seen it; the hub's dedup makes that harmless.
func (s *Source) Receive(_ context.Context, r connectors.Request) (connectors.Batch, error) {
	if s.cfg.WebhookSecret.IsZero() {
		return connectors.Batch{}, hub.E(hub.Unauthorized, "webhooks are refused until webhook_secret is set for this connector")
	}
	if !s.signed(r.Header.Get("X-CV-Signature"), r.Body) {
		return connectors.Batch{}, hub.E(hub.Unauthorized, "X-CV-Signature is missing or wrong: it must be the hex HMAC-SHA256 of the body")
	}
	f, reason, err := readEvent(r.Body)
	switch {
	case err != nil:
		return connectors.Batch{}, err
	case reason != "":
		return connectors.Batch{Rejects: []connectors.Reject{{Index: 0, Error: reason, Item: r.Body}}}, nil
	}
	if f.Status == hub.FindingResolved {
		s.touch.add(keyOf(f.SourceID))
	}
	return connectors.Batch{Findings: []hub.Finding{f}}, nil
}

// signed compares in constant time.
func (s *Source) signed(signature string, body []byte) bool {
	given, err := hex.DecodeString(strings.TrimSpace(signature))
	mac := hmac.New(sha256.New, []byte(s.cfg.WebhookSecret.Reveal()))
	mac.Write(body)
	return hmac.Equal(mac.Sum(nil), given) && err == nil
}

// An event is a webhook's body. The document names the types and nothing else;
// where data is missing, the event itself is taken for it.
type event struct {
	ID        string         `json:"id"`
	Type      string         `json:"type"`
	CreatedAt string         `json:"created_at"`
	Timestamp string         `json:"timestamp"`
	Data      jsontext.Value `json:"data"`
}

func (e event) time() time.Time {
	if t := instant(e.CreatedAt); !t.IsZero() {
		return t
	}
	return instant(e.Timestamp)
}

// readEvent maps a webhook's body; reason says why it is of no use.
func readEvent(body []byte) (f hub.Finding, reason string, err error) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return f, "", hub.Wrap(hub.Malformed, err, "the body is not a JSON object with id, type and data")
	}
	switch e.Type {
	case "alert.created", "alert.resolved":
		return e.alert()
	case "asset.vulnerable":
		return e.vulnerable()
	case "compliance.failed":
		return e.compliance()
	}
	return f, "type: want alert.created, alert.resolved, asset.vulnerable or compliance.failed", nil
}

// alert maps an alert's event. What alert.created says is as of the alert's
// creation; alert.resolved happened at the event's time.
func (e event) alert() (hub.Finding, string, error) {
	a, ok := readAlert(e.Data)
	if !ok {
		return hub.Finding{}, "data: want an alert with an id", nil
	}
	if e.Type == "alert.resolved" {
		if !a.closed() {
			a.Status = "resolved"
		}
		f := a.finding()
		if a.updated().IsZero() {
			f.ObservedAt = e.time()
			f.ObservedGiven = !f.ObservedAt.IsZero()
		}
		return f, "", nil
	}
	f := a.finding()
	if f.ObservedAt.IsZero() {
		f.ObservedAt, f.ObservedGiven = e.time(), !e.time().IsZero()
	}
	return f, "", nil
}

// A detail is the data of events that are not about alerts.
type detail struct {
	ID           string         `json:"id"`
	AssetID      string         `json:"asset_id"`
	Severity     string         `json:"severity"`
	Title        string         `json:"title"`
	CVE          string         `json:"cve"`
	CVSS         *float64       `json:"cvss"`
	Package      string         `json:"package"`
	FixedVersion string         `json:"fixed_version"`
	Framework    string         `json:"framework"`
	Control      string         `json:"control"`
	Others       jsontext.Value `json:",embed"`
}

func (e event) vulnerable() (hub.Finding, string, error) {
	d, f, reason := e.detail("vulnerability")
	f.Vulnerability = &hub.Vulnerability{CVE: d.CVE, CVSS: d.CVSS, Package: d.Package, FixedVersion: d.FixedVersion}
	if d.ID == "" && d.CVE != "" {
		f.SourceID = strings.Join([]string{"vulnerable", d.AssetID, d.CVE, d.Package}, "/")
	}
	return f, reason, nil
}

func (e event) compliance() (hub.Finding, string, error) {
	d, f, reason := e.detail("compliance")
	f.Compliance = &hub.Compliance{Framework: d.Framework, Control: d.Control, Result: "failed"}
	if d.ID == "" && d.Control != "" {
		f.SourceID = strings.Join([]string{"compliance", d.Framework, d.Control, d.AssetID}, "/")
	}
	return f, reason, nil
}

// detail maps what both have. The identity is the object's id; for want of one
// the caller builds it from what is checked, and last of all it is the event's.
func (e event) detail(kind string) (detail, hub.Finding, string) {
	var d detail
	if err := json.Unmarshal(e.Data, &d); err != nil || d.AssetID == "" {
		return d, hub.Finding{}, "data: want an object with asset_id"
	}
	f := hub.Finding{
		SourceID: d.ID, Type: kind, AssetID: d.AssetID, Severity: severity(d.Severity), Status: hub.FindingOpen,
		Title: d.Title, ObservedAt: e.time(), Payload: d.Others, Raw: e.Data,
		Labels: map[string]string{"cybervault_event": e.Type},
	}
	f.ObservedGiven = !f.ObservedAt.IsZero()
	if f.SourceID == "" {
		f.SourceID = e.ID
	}
	if f.Title == "" {
		f.Title = title(strings.ReplaceAll(e.Type, ".", "_"), d.AssetID)
	}
	return d, f, ""
}

// touched holds the alerts that a webhook has resolved in the hub since the
// last sweep saw them. Should the sweep still, or again, see one open, it says
// so, although its own memory knows of no change.
type touched struct {
	mu  sync.Mutex // guards ids
	ids map[key]struct{}
}

// maxTouched bounds the memory; beyond it, an alert that is resolved and opened
// again between two sweeps is seen as open at its next change only.
const maxTouched = 50_000

func (t *touched) add(k key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil {
		t.ids = map[key]struct{}{}
	}
	if len(t.ids) < maxTouched {
		t.ids[k] = struct{}{}
	}
}

func (t *touched) has(k key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.ids[k]
	return ok
}

func (t *touched) remove(keys []key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		delete(t.ids, k)
	}
}
