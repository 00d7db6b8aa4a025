package app

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/internal/store"
)

// registerBuild shows which version runs.
func registerBuild(reg prometheus.Registerer, version, node string) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tocsin_build_info", Help: "1, with the version and the name of the node."}, []string{"version", "node"})
	g.WithLabelValues(version, node).Set(1)
	reg.MustRegister(g)
}

// registerCluster shows what this node knows of the others.
func registerCluster(reg prometheus.Registerer, c *cluster) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tocsin_nodes", Help: "Nodes alive over this database, as this one sees it."}, func() float64 { return float64(c.nodes()) }))
}

// registerStore shows what the store's writer does.
func registerStore(reg prometheus.Registerer, st *store.Store) {
	s := st.Stats()
	counter := func(name, help string, v *atomic.Int64, unit float64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) * unit }))
	}
	counter("tocsin_store_transactions_total", "Transactions committed.", &s.Transactions, 1)
	counter("tocsin_store_requests_total", "Changes committed; many share a transaction.", &s.Requests, 1)
	counter("tocsin_store_replays_total", "Transactions run again because one of their callers failed.", &s.Replayed, 1)
	counter("tocsin_store_failed_total", "Transactions given up, for want of disk or database.", &s.Failed, 1)
	counter("tocsin_store_busy_seconds_total", "Time in transactions.", &s.BusyNanos, 1e-9)
	counter("tocsin_store_commit_seconds_total", "Of that, time in commits.", &s.CommitNanos, 1e-9)
	gauge := func(name, help string, v func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, v))
	}
	gauge("tocsin_store_waiting", "Changes that wait for the writer.", func() float64 { return float64(st.Waiting()) })
	gauge("tocsin_store_writable", "1 while the store takes changes; while it does not, new findings are answered with 503.", func() float64 {
		if st.Health() != nil {
			return 0
		}
		return 1
	})
}
