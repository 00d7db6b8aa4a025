package postgres_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/test/services"
)

// BenchmarkDo has 64 callers, each inserting an event of 1 KiB and an audit
// entry, spread over some hubs.
func BenchmarkDo(b *testing.B) {
	for _, hubs := range []int{1, 3} {
		b.Run(fmt.Sprint(hubs, " hubs"), func(b *testing.B) { benchDo(b, hubs) })
	}
}

func benchDo(b *testing.B, hubs int) {
	dsn := services.Postgres(b).DSN(b)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	sealer := audit.NewSealer(audit.NewKey(private), "bench", nil)
	stores := make([]*store.Store, hubs)
	for i := range stores {
		e := engine(b, postgres.Options{URL: dsn})
		if stores[i], err = store.Open(b.Context(), e, store.Options{Sealer: sealer}); err != nil {
			b.Fatal(err)
		}
		defer stores[i].Close()
	}
	body := make([]byte, 1024)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var all sync.WaitGroup
	for c := range 64 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				err := stores[c%hubs].Do(context.Background(), func(tx *store.Tx) error {
					tx.AddEvent(hub.EventRecord{Sequence: tx.NextSequence(), ID: "msg_1", Tenant: "default", Type: hub.AlertCreated, Subject: "alt_1", At: time.Now(), Body: body})
					tx.Audit(hub.Audited(hub.System("default"), "add", "event", "msg_1"))
					return nil
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	var transactions, requests, commit, begin int64
	for _, s := range stores {
		transactions += s.Stats().Transactions.Load()
		requests += s.Stats().Requests.Load()
		commit += s.Stats().CommitNanos.Load()
		begin += s.Stats().BeginNanos.Load()
	}
	b.ReportMetric(float64(requests)/float64(transactions), "callers/tx")
	b.ReportMetric(float64(commit)/float64(transactions)/1e6, "ms-commit/tx")
	b.ReportMetric(float64(begin)/float64(transactions)/1e6, "ms-begin/tx")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "callers/s")
}
