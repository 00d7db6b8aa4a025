package app

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/internal/store"
)

// registerStore shows what the store's writer does.
func registerStore(reg prometheus.Registerer, st *store.Store) {
	s := st.Stats()
	counter := func(name, help string, v *atomic.Int64, unit float64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) * unit }))
	}
	counter("tocsin_store_transactions_total", "Transactions committed.", &s.Transactions, 1)
	counter("tocsin_store_requests_total", "Changes committed; many share a transaction.", &s.Requests, 1)
	counter("tocsin_store_replays_total", "Transactions run again because one of their callers failed.", &s.Replayed, 1)
	counter("tocsin_store_busy_seconds_total", "Time in transactions.", &s.BusyNanos, 1e-9)
	counter("tocsin_store_commit_seconds_total", "Of that, time in commits.", &s.CommitNanos, 1e-9)
}
