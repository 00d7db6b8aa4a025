package connectors

import (
	"sync/atomic"
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

	fleet atomic.Pointer[Fleet] // whose state is told when somebody asks
}

// What is told of each connector when somebody asks.
var (
	stateDesc = prometheus.NewDesc("tocsin_connector_state", "1 for the state that the connector is in, 0 for the others.", []string{"connector", "kind", "state"}, nil)
	lagDesc   = prometheus.NewDesc("tocsin_connector_lag_seconds", "Time since the start of the last whole pull, or of the first try.", []string{"connector", "kind"}, nil)
	failDesc  = prometheus.NewDesc("tocsin_connector_consecutive_failures", "Failures since the last success.", []string{"connector", "kind"}, nil)
)

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_connector_" + name, Help: help}, labels)
	}
	m := &Metrics{
		pulls:    counter("pulls_total", "Pulls ended, by outcome: ok or the kind of error.", "connector", "outcome"),
		findings: counter("findings_total", "Findings taken in, by way: pull or push.", "connector", "via"),
		rejected: counter("rejected_total", "Items that could not be used, of pushes and pulls.", "connector"),
		actions:  counter("actions_total", "Actions done for playbooks, by outcome.", "connector", "action", "outcome"),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_connector_last_success_timestamp_seconds", Help: "When the last whole pull ended.",
		}, []string{"connector"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tocsin_connector_pull_seconds", Help: "How long pulls take.", Buckets: prometheus.ExponentialBuckets(0.01, 4, 8),
		}, []string{"connector"}),
	}
	reg.MustRegister(m.pulls, m.findings, m.rejected, m.actions, m.success, m.seconds, m)
	return m
}

// Describe tells what Collect gives.
func (m *Metrics) Describe(all chan<- *prometheus.Desc) {
	all <- stateDesc
	all <- lagDesc
	all <- failDesc
}

// Collect gives the state of every connector.
func (m *Metrics) Collect(all chan<- prometheus.Metric) {
	f := m.fleet.Load()
	if f == nil {
		return
	}
	for _, s := range f.All() {
		for _, p := range Phases {
			is := 0.0
			if s.Phase == p {
				is = 1
			}
			all <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, is, s.Name, s.Kind, string(p))
		}
		if s.Lag != nil {
			all <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, *s.Lag, s.Name, s.Kind)
		}
		all <- prometheus.MustNewConstMetric(failDesc, prometheus.GaugeValue, float64(s.Failures), s.Name, s.Kind)
	}
}

func (m *Metrics) watch(f *Fleet) {
	if m != nil {
		m.fleet.Store(f)
	}
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
