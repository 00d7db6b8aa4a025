package echelongraph

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// Receive takes a webhook. Its signature is the hex HMAC-SHA256 of the body with
// the webhook's secret.
//
// The signature holds no time, so an old request can be sent again by whoever
// has seen it; the hub's deduplication makes that harmless.
func (s *Source) Receive(_ context.Context, r connectors.Request) (connectors.Batch, error) {
	if s.cfg.WebhookSecret.IsZero() {
		return connectors.Batch{}, hub.E(hub.Unauthorized, "webhooks are refused until webhook_secret is set for this connector")
	}
	if !s.signed(r.Header.Get(s.cfg.SignatureHeader), r.Body) {
		return connectors.Batch{}, hub.E(hub.Unauthorized, s.cfg.SignatureHeader+" is missing or wrong: it must be the hex HMAC-SHA256 of the body")
	}
	var e event
	if err := json.Unmarshal(r.Body, &e); err != nil {
		return connectors.Batch{}, hub.Wrap(hub.Malformed, err, "the body is not a JSON object with id, type and data")
	}
	return s.heard(e), nil
}

// signed compares in constant time.
func (s *Source) signed(signature string, body []byte) bool {
	given, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(signature), "sha256="))
	mac := hmac.New(sha256.New, []byte(s.cfg.WebhookSecret.Reveal()))
	mac.Write(body)
	return hmac.Equal(mac.Sum(nil), given) && err == nil
}

// An event is what comes over the socket and in webhooks.
type event struct {
	ID        inbound.Text   `json:"id"`
	Type      inbound.Text   `json:"type"`
	CreatedAt inbound.Time   `json:"created_at"`
	Timestamp inbound.Time   `json:"timestamp"`
	Data      jsontext.Value `json:"data"`
}

func (e event) time() time.Time {
	if !e.CreatedAt.IsZero() {
		return e.CreatedAt.Time
	}
	return e.Timestamp.Time
}

// heard makes findings of an event. One that only says that there is news asks
// for a pull.
func (s *Source) heard(e event) connectors.Batch {
	var f hub.Finding
	var fault string
	switch e.Type {
	case "alert.created", "alert.resolved", "incident.created":
		x, ok := readEntity(e.Data)
		if !ok {
			return refused(e, "data: want an object with an id")
		}
		if s.own.did(x.list(e), x) {
			return connectors.Batch{}
		}
		f = e.item(x)
	case "compliance.drift":
		if f, fault = s.drift(e); fault != "" {
			return refused(e, fault)
		}
		s.touched.add(f.SourceID)
		s.wake()
	case "scan.completed", "compliance.score_changed":
		s.wake()
		return connectors.Batch{}
	default:
		return refused(e, "type: want alert.created, alert.resolved, incident.created, scan.completed, compliance.score_changed or compliance.drift")
	}
	f.ObservedGiven = !f.ObservedAt.IsZero()
	return connectors.Batch{Findings: []hub.Finding{f}}
}

func refused(e event, why string) connectors.Batch {
	return connectors.Batch{Rejects: []connectors.Reject{{Index: 0, Error: why, Item: e.Data}}}
}

// list is where an event's item is listed.
func (x entity) list(e event) string {
	if e.Type == "incident.created" {
		return "incidents"
	}
	return "alerts"
}

// item maps an event about an alert or an incident. What it says is as of the
// item's own time, so that it and a pull that sees the same make the same.
func (e event) item(x entity) hub.Finding {
	if e.Type == "alert.resolved" && !x.closed() {
		x.Status = "resolved"
	}
	if x.UpdatedAt.IsZero() && (e.Type == "alert.resolved" || x.CreatedAt.IsZero()) {
		x.UpdatedAt.Time = e.time()
	}
	if e.Type == "incident.created" {
		return x.incident()
	}
	return x.alert()
}

// drift maps a framework's fall.
func (s *Source) drift(e event) (hub.Finding, string) {
	x, ok := readScore(e.Data)
	if !ok || x.Framework == "" {
		return hub.Finding{}, "data: want an object with framework and score"
	}
	f := s.complianceFinding(string(x.Framework), x.Score.Value, true, e.Data)
	f.ObservedAt, f.SourceSequence = e.time(), 1
	return f, ""
}
