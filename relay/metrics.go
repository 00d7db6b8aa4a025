package relay

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/hub"
)

// metrics count what the worker does. Labels are kinds of endpoint, never ids.
type metrics struct {
	deliveries *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	inFlight   prometheus.Gauge
	latency    *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_relay_deliveries_total", Help: "Deliveries that ended or were held, by kind of endpoint and state.",
		}, []string{"kind", "state"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_relay_attempts_total", Help: "Attempts, by kind of endpoint and what followed.",
		}, []string{"kind", "verdict"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_relay_in_flight", Help: "Deliveries being sent.",
		}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tocsin_relay_delivery_seconds", Help: "From the making of a delivery to its success.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 3600, 86400},
		}, []string{"kind"}),
	}
	if reg != nil {
		reg.MustRegister(m.deliveries, m.attempts, m.inFlight, m.latency)
	}
	return m
}

// attempted counts an attempt and, if it was the last, its delivery.
func (m *metrics) attempted(o *Outcome, now time.Time) {
	m.attempts.WithLabelValues(o.Delivery.Kind, o.Attempt.Verdict).Inc()
	m.ended(o, now)
}

func (m *metrics) ended(o *Outcome, now time.Time) {
	d := &o.Delivery
	if !d.State.Final() && d.State != hub.DeliveryHeld {
		return
	}
	m.deliveries.WithLabelValues(d.Kind, string(d.State)).Inc()
	if d.State == hub.DeliverySucceeded {
		m.latency.WithLabelValues(d.Kind).Observe(now.Sub(d.CreatedAt).Seconds())
	}
}
