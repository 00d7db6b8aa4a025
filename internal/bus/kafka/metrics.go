package kafka

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// A collector shows the bus's own counters to Prometheus when it asks, so that
// counting costs an atomic addition. The names are those of the embedded bus
// where they mean the same.
type collector struct{ b *Bus }

type metric struct {
	desc  *prometheus.Desc
	value func(*tally) int64
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tocsin_bus_"+name, help, labels, nil)
}

func topicMetrics() (published, failed *prometheus.Desc) {
	return describe("published_total", "Messages published, by topic.", "topic"),
		describe("publish_failed_total", "Messages whose publishing failed.", "topic")
}

func partMetrics() (lag, flying *prometheus.Desc) {
	return describe("lag", "Messages that the group has not done, of the partitions that this process has.", "topic", "group", "partition"),
		describe("in_flight", "Messages handed out and not acknowledged.", "topic", "group")
}

func groupMetrics() []metric {
	of := func(name, help string, value func(*tally) int64) metric {
		return metric{describe(name, help, "topic", "group"), value}
	}
	return []metric{
		of("delivered_total", "Messages handed out, by topic and group.", func(t *tally) int64 { return t.delivered.Load() }),
		of("redelivered_total", "Messages refused and to be handed out again.", func(t *tally) int64 { return t.redelivered.Load() }),
		of("dead_total", "Messages that became dead letters.", func(t *tally) int64 { return t.dead.Load() }),
		of("rebalanced_total", "Rounds of sharing the partitions out that this process took part in.", func(t *tally) int64 { return t.rebalanced.Load() }),
		of("taken_back_total", "Messages in flight whose partition was lost.", func(t *tally) int64 { return t.takenBack.Load() }),
	}
}

// Describe names the metrics.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	published, failed := topicMetrics()
	lag, flying := partMetrics()
	for _, d := range []*prometheus.Desc{published, failed, lag, flying} {
		ch <- d
	}
	for _, m := range groupMetrics() {
		ch <- m.desc
	}
}

// Collect gives their values.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	published, failed := topicMetrics()
	for name, t := range *c.b.topics.Load() {
		counter(published, t.published.Load(), name)
		counter(failed, t.failed.Load(), name)
	}
	lag, flying := partMetrics()
	all := groupMetrics()
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	for name, t := range c.b.tally {
		for _, m := range all {
			counter(m.desc, m.value(t), name.topic, name.group)
		}
	}
	for name, g := range c.b.groups {
		gauge(flying, g.flying(), name.topic, name.group)
		for _, p := range g.held() {
			gauge(lag, p.lag(), name.topic, name.group, strconv.Itoa(p.no))
		}
	}
}
