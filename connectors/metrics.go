package connectors

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what connectors do. A nil *Metrics counts nothing.
type Metrics struct {
	pulls    *prometheus.CounterVec
	findings *prometheus.CounterVec
	rejected *prometheus.CounterVec
	actions  *prometheus.CounterVec
	success  *prometheus.GaugeVec
	seconds  *prometheus.HistogramVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_connector_" + name, Help: help}, labels)
	}
	m := &Metrics{
		pulls:    counter("pulls_total", "Pulls ended, by outcome: ok or the kind of error.", "connector", "outcome"),
		findings: counter("findings_total", "Findings taken in, by way: pull or push.", "connector", "via"),
		rejected: counter("rejected_total", "Pushed items that could not be used.", "connector"),
		actions:  counter("actions_total", "Actions done for playbooks, by outcome.", "connector", "action", "outcome"),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_connector_last_success_timestamp_seconds", Help: "When the last whole pull ended.",
		}, []string{"connector"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tocsin_connector_pull_seconds", Help: "How long pulls take.", Buckets: prometheus.ExponentialBuckets(0.01, 4, 8),
		}, []string{"connector"}),
	}
	reg.MustRegister(m.pulls, m.findings, m.rejected, m.actions, m.success, m.seconds)
	return m
}

func (m *Metrics) pulled(name, outcome string, took time.Duration, success time.Time) {
	if m == nil {
		return
	}
	m.pulls.WithLabelValues(name, outcome).Inc()
	m.seconds.WithLabelValues(name).Observe(took.Seconds())
	if !success.IsZero() {
		m.success.WithLabelValues(name).Set(float64(success.UnixMilli()) / 1000)
	}
}

func (m *Metrics) taken(name, via string, n int) {
	if m != nil {
		m.findings.WithLabelValues(name, via).Add(float64(n))
	}
}

func (m *Metrics) refused(name string, n int) {
	if m != nil {
		m.rejected.WithLabelValues(name).Add(float64(n))
	}
}

func (m *Metrics) acted(name, action, outcome string) {
	if m != nil {
		m.actions.WithLabelValues(name, action, outcome).Inc()
	}
}
