package app

import (
	"context"
	"math"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/store"
)

// health says whether the parts work and how much there is of everything.
type health struct {
	st     *store.Store
	checks map[string]func() error // by part, beside the store
	lag    func() (int64, error)   // findings accepted but not triaged
	region string
}

var _ api.Health = (*health)(nil)

// Ready says of each part whether it works.
func (h *health) Ready(ctx context.Context) map[string]string {
	out := map[string]string{"store": "ok"}
	if err := h.st.Health(); err != nil {
		out["store"] = "takes no writes: " + err.Error()
	}
	for name, check := range h.checks {
		out[name] = "ok"
		if err := check(); err != nil {
			out[name] = err.Error()
		}
	}
	return out
}

// A status is the answer to GET /status, in the fields of the seed systems.
type status struct {
	Status       string    `json:"status"` // operational, degraded or maintenance
	ThreatLevel  int       `json:"threat_level"`
	ActiveAlerts int64     `json:"active_alerts"`
	LastScan     time.Time `json:"last_scan,omitzero"` // when a finding was triaged last
	Region       string    `json:"region"`
}

// activeStatuses are those of alerts that still want somebody.
var activeStatuses = []string{string(hub.AlertOpen), string(hub.AlertInvestigating)}

// Status shows the hub as a seed system would.
func (h *health) Status(ctx context.Context, t hub.TenantID) (any, error) {
	out := status{Status: "operational", Region: h.region}
	err := h.st.View(ctx, func(r *store.Reader) error {
		counts, err := r.CountAlerts(t, &hub.AlertFilter{Status: activeStatuses})
		if err != nil {
			return err
		}
		out.ThreatLevel, out.ActiveAlerts = threatLevel(counts), sum(counts)
		last, err := r.ListFindings(t, &store.FindingFilter{}, 0, 0, 1)
		if err == nil && len(last) == 1 {
			v, err := findingView(last[0])
			if err != nil {
				return err
			}
			out.LastScan = v.ReceivedAt
		}
		return err
	})
	for _, v := range h.Ready(ctx) {
		if v != "ok" {
			out.Status = "degraded"
		}
	}
	return out, err
}

// threatLevel is 0–10 from the active alerts: a critical one weighs 8, a high
// one 3, a medium one 1, a low one 0.2, and each doubling of the weight is a
// step: level = round(1.5·log2(1+weight)), at most 10. One critical alert is 5,
// five are 8.
func threatLevel(n map[hub.Severity]int64) int {
	weight := 8*float64(n[hub.Critical]) + 3*float64(n[hub.High]) + float64(n[hub.Medium]) + 0.2*float64(n[hub.Low])
	return int(math.Min(10, math.Round(1.5*math.Log2(1+weight))))
}

func sum(n map[hub.Severity]int64) (total int64) {
	for _, c := range n {
		total += c
	}
	return total
}

// A dashboard is the answer to GET /dashboard/metrics.
type dashboard struct {
	Findings         int64                                  `json:"findings"`
	Alerts           int64                                  `json:"alerts"`
	ActiveAlerts     int64                                  `json:"active_alerts"`
	ReductionPercent float64                                `json:"data_reduction_percent"` // findings that did not become alerts
	AlertsBySeverity map[hub.Severity]int64                 `json:"active_by_severity"`
	Backlog          *int64                                 `json:"backlog"` // accepted, not triaged; null while the bus does not tell
	Deliveries       map[string]map[hub.DeliveryState]int64 `json:"deliveries"`
	AuditEntries     int64                                  `json:"audit_entries"`
}

// Dashboard counts what there is.
func (h *health) Dashboard(ctx context.Context, t hub.TenantID) (any, error) {
	var out dashboard
	if n, err := h.lag(); err == nil {
		out.Backlog = &n
	}
	err := h.st.View(ctx, func(r *store.Reader) (err error) {
		if out.Findings, err = r.CountFindings(t, &store.FindingFilter{}); err != nil {
			return err
		}
		all, err := r.CountAlerts(t, &hub.AlertFilter{})
		if err != nil {
			return err
		}
		out.Alerts = sum(all)
		if out.AlertsBySeverity, err = r.CountAlerts(t, &hub.AlertFilter{Status: activeStatuses}); err != nil {
			return err
		}
		out.ActiveAlerts = sum(out.AlertsBySeverity)
		if out.Deliveries, err = r.CountDeliveries(t, &store.DeliveryFilter{}); err != nil {
			return err
		}
		head, err := r.AuditHead(t)
		out.AuditEntries = head.Size
		return err
	})
	if out.Findings > 0 {
		out.ReductionPercent = math.Round(1000*(1-float64(out.Alerts)/float64(out.Findings))) / 10
	}
	return out, err
}
