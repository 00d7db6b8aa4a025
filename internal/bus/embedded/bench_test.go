package embedded_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/embedded"
	"github.com/tocsin/tocsin/internal/ident"
)

// publishFindings publishes n messages of 1 KiB, each of its own key, as many
// publishers at once, and gives their ids.
func publishFindings(t testing.TB, b *embedded.Bus, n int) []string {
	t.Helper()
	ids, next := make([]string, n), make(chan int)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			p := b.Publisher()
			for i := range next {
				ids[i] = ident.New("fnd_")
				if err := p.Publish(topic, bus.NewMessage(ids[i], "default", ids[i], make([]byte, 1024))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
	return ids
}

func BenchmarkPublish(b *testing.B) {
	bs := openBus(b, openStore(b, filepath.Join(b.TempDir(), "db")), embedded.Options{})
	b.ReportAllocs()
	b.ResetTimer()
	publishFindings(b, bs, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// consume handles n messages in batches, as triage does.
func consume(b *testing.B, bs *embedded.Bus, n int) {
	batch := bus.NewBatcher(bus.BatcherOptions{}, func(context.Context, []*message.Message) []error { return nil })
	defer batch.Close()
	ch := subscribe(b, bs, embedded.Group{Name: "triage", Window: 512, Coalesce: true})
	var handlers sync.WaitGroup
	for range n {
		m := <-ch
		handlers.Go(func() {
			if batch.Handle(m) == nil {
				m.Ack()
			}
		})
	}
	handlers.Wait()
}

func BenchmarkConsumeBacklog(b *testing.B) {
	bs := openBus(b, openStore(b, filepath.Join(b.TempDir(), "db")), embedded.Options{})
	publishFindings(b, bs, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	consume(b, bs, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkPublishAndConsume(b *testing.B) {
	bs := openBus(b, openStore(b, filepath.Join(b.TempDir(), "db")), embedded.Options{})
	b.ReportAllocs()
	b.ResetTimer()
	var both sync.WaitGroup
	both.Go(func() { publishFindings(b, bs, b.N) })
	both.Go(func() { consume(b, bs, b.N) })
	both.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
