package forward

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// countEvery is how often a source is asked how much waits in it.
const countEvery = 5 * time.Second

// The metrics of a forwarder. Backlog and age are those of the process that runs
// it; in others they are 0.
type metrics struct {
	published, failed, refused atomic.Int64
	backlog                    atomic.Int64
	oldest                     atomic.Int64 // when the oldest that waits was kept, in microseconds; 0 if none does
}

type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*metrics) float64
}

func allMetrics() []metric {
	of := func(name, help string, kind prometheus.ValueType, value func(*metrics) float64) metric {
		return metric{prometheus.NewDesc("tocsin_outbox_"+name, help, nil, nil), kind, value}
	}
	count := func(get func(*metrics) *atomic.Int64) func(*metrics) float64 {
		return func(m *metrics) float64 { return float64(get(m).Load()) }
	}
	return []metric{
		of("published_total", "Messages published.", prometheus.CounterValue, count(func(m *metrics) *atomic.Int64 { return &m.published })),
		of("failed_total", "Calls to publish that failed and were tried again.", prometheus.CounterValue, count(func(m *metrics) *atomic.Int64 { return &m.failed })),
		of("refused_total", "Messages that can never be published and were put aside.", prometheus.CounterValue, count(func(m *metrics) *atomic.Int64 { return &m.refused })),
		of("backlog", "Messages that wait to be published.", prometheus.GaugeValue, count(func(m *metrics) *atomic.Int64 { return &m.backlog })),
		of("age_seconds", "How long the oldest message that waits to be published has waited.", prometheus.GaugeValue, (*metrics).age),
	}
}

func (m *metrics) age() float64 {
	oldest := m.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return max(0, time.Since(time.UnixMicro(oldest)).Seconds())
}

// Describe names the metrics.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, x := range allMetrics() {
		ch <- x.desc
	}
}

// Collect gives their values.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, x := range allMetrics() {
		ch <- prometheus.MustNewConstMetric(x.desc, x.kind, x.value(m))
	}
}

// Backlog tells how many messages wait, and how long the oldest has.
func (f *Forwarder) Backlog() (int64, time.Duration) {
	return f.backlog.Load(), time.Duration(f.age() * float64(time.Second))
}

// show sets what is known from what was read: nothing older waits.
func (r *run) show() {
	if len(r.open) == 0 {
		r.oldest.Store(0)
	} else {
		r.oldest.Store(r.open[0].At.UnixMicro())
	}
	if _, counts := r.source.(Counter); !counts {
		r.backlog.Store(int64(r.waiting))
	}
}

// count asks the source how much waits, now and then.
func (r *run) count() {
	c, counts := r.source.(Counter)
	if !counts || time.Since(r.counted) < countEvery {
		return
	}
	r.counted = time.Now()
	if n, err := c.Waiting(r.ctx); err == nil {
		r.backlog.Store(n)
	}
}

// rest says that nothing waits for this process any more.
func (m *metrics) rest() {
	m.backlog.Store(0)
	m.oldest.Store(0)
}
