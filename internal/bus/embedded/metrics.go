package embedded

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/hub"
)

// A collector shows the bus's own counters to Prometheus when it asks, so that
// counting costs an atomic addition.
type collector struct{ b *Bus }

type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*group) int64
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tocsin_bus_"+name, help, labels, nil)
}

func published() *prometheus.Desc {
	return describe("published_total", "Messages published, by topic.", "topic")
}

func groupMetrics() []metric {
	of := func(name, help string, kind prometheus.ValueType, value func(*group) int64) metric {
		return metric{describe(name, help, "topic", "group"), kind, value}
	}
	return []metric{
		of("delivered_total", "Messages handed out, by topic and group.", prometheus.CounterValue, func(g *group) int64 { return g.delivered.Load() }),
		of("redelivered_total", "Messages refused and to be handed out again.", prometheus.CounterValue, func(g *group) int64 { return g.redelivered.Load() }),
		of("dead_total", "Messages that became dead letters.", prometheus.CounterValue, func(g *group) int64 { return g.dead.Load() }),
		of("lag", "Messages that the group has not done.", prometheus.GaugeValue, (*group).lag),
		of("in_flight", "Messages handed out and not acknowledged.", prometheus.GaugeValue, func(g *group) int64 { return g.flying.Load() }),
	}
}

// Describe names the metrics.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- published()
	for _, m := range groupMetrics() {
		ch <- m.desc
	}
}

// Collect gives their values.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	all, desc := groupMetrics(), published()
	for name, t := range *c.b.topics.Load() {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(t.published.Load()), name)
		for _, g := range *t.groups.Load() {
			for _, m := range all {
				ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(g)), name, g.name)
			}
		}
	}
}

// Lag tells how many messages of a topic a group that is at work has not done.
func (b *Bus) Lag(topic, group string) (int64, error) {
	if t := b.topic(topic); t != nil {
		if g := t.group(group); g != nil {
			return g.lag(), nil
		}
	}
	return 0, hub.E(hub.NotFound, fmt.Sprintf("no group %q is at work on topic %q", group, topic))
}
