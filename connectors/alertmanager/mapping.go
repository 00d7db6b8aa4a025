package alertmanager

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An alert is one of a webhook (version 4), or of POST /api/v2/alerts, which has
// no status.
type alert struct {
	Status       string                  `json:"status"`
	Labels       map[string]inbound.Text `json:"labels"`
	Annotations  map[string]inbound.Text `json:"annotations"`
	StartsAt     inbound.Time            `json:"startsAt"`
	EndsAt       inbound.Time            `json:"endsAt"`
	GeneratorURL inbound.Text            `json:"generatorURL"`
	DashboardURL inbound.Text            `json:"dashboardURL"` // Grafana's
	PanelURL     inbound.Text            `json:"panelURL"`
}

type mapper struct{ ignore, asset []string }

func (m mapper) finding(piece inbound.Piece) ([]hub.Finding, error) {
	var a alert
	if err := inbound.Decode(piece.Raw, &a, false); err != nil {
		return nil, err
	}
	if len(a.Labels) == 0 {
		return nil, errors.New("it has no labels, which are what tells alerts apart")
	}
	f := hub.Finding{
		SourceID: m.identity(a.Labels), Type: kind(a.Labels), AssetID: m.assetOf(a.Labels), Severity: severity(a.Labels),
		Labels: map[string]string{}, ObservedAt: a.StartsAt.Time, Raw: piece.Raw,
	}
	for name, value := range a.Labels {
		f.Labels[name] = string(value)
	}
	if a.resolved(time.Now()) {
		f.Status, f.ObservedAt = hub.FindingResolved, inbound.Latest(a.StartsAt, a.EndsAt)
	}
	f.Title = string(inbound.First(a.Annotations["summary"], a.Annotations["title"], a.Labels["alertname"], "Alert"))
	f.Description = string(inbound.First(a.Annotations["description"], a.Annotations["message"]))
	f.Asset = &hub.Asset{
		Name: f.AssetID, Account: string(inbound.First(a.Labels["account"], a.Labels["account_id"])),
		Region: string(a.Labels["region"]), Provider: string(inbound.First(a.Labels["provider"], a.Labels["cloud"])),
	}
	f.Payload = a.payload()
	return []hub.Finding{f}, nil
}

// resolved: Prometheus tells no status, only an end that lies in the future
// while an alert fires.
func (a *alert) resolved(now time.Time) bool {
	switch a.Status {
	case "resolved":
		return true
	case "":
		return !a.EndsAt.IsZero() && !a.EndsAt.After(now)
	}
	return false
}

// payload leaves out the annotations: they hold measured values, which are not
// the same twice.
func (a *alert) payload() jsontext.Value {
	return inbound.Object(map[string]any{
		"alertname": a.Labels["alertname"], "generator_url": a.GeneratorURL, "runbook_url": a.Annotations["runbook_url"],
		"dashboard_url": a.DashboardURL, "panel_url": a.PanelURL,
	})
}

// identity is the alert's name and a hash of its labels without those to be
// ignored.
func (m mapper) identity(labels map[string]inbound.Text) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if !slices.Contains(m.ignore, name) {
			pairs = append(pairs, inbound.Key(name, string(labels[name])))
		}
	}
	sum := sha256.Sum256([]byte(inbound.Key(pairs...)))
	return inbound.Key(string(cmp.Or(labels["alertname"], "alert")), hex.EncodeToString(sum[:16]))
}

var usualAssets = []string{"asset_id", "instance", "host", "hostname", "nodename", "node", "device"}

// assetOf gives what the alert is about: a host, else what is known in
// Kubernetes, else a service.
func (m mapper) assetOf(labels map[string]inbound.Text) string {
	names := m.asset
	if len(names) == 0 {
		names = usualAssets
	}
	for _, name := range names {
		if labels[name] != "" {
			return string(labels[name])
		}
	}
	for _, name := range []string{"pod", "deployment", "statefulset", "daemonset", "persistentvolumeclaim", "container", "service", "namespace"} {
		if v := labels[name]; v != "" {
			if ns := labels["namespace"]; ns != "" && name != "namespace" {
				return string(ns + "/" + v)
			}
			return string(v)
		}
	}
	return string(inbound.First(labels["job"], labels["cluster"], labels["alertname"], "unknown"))
}

func severity(labels map[string]inbound.Text) hub.Severity {
	word := inbound.First(labels["severity"], labels["priority"], labels["level"])
	switch word {
	case "P1", "p1":
		return hub.Critical
	case "P2", "p2":
		return hub.High
	case "P3", "p3":
		return hub.Medium
	case "P4", "p4":
		return hub.Low
	case "P5", "p5":
		return hub.Info
	}
	return inbound.SeverityOr(string(word), hub.Medium)
}

// kind takes a type of ours from the labels, for rules that are about security.
func kind(labels map[string]inbound.Text) string {
	for _, name := range []string{"finding_type", "type", "category"} {
		if v := string(labels[name]); slices.Contains(hub.FindingTypes[:], v) {
			return v
		}
	}
	return "custom"
}
