package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A line is one connection of a source, over a pipe in memory, and the store
// behind it. It is used within a bubble.
type line struct {
	s      *Source
	client net.Conn
	stop   context.CancelFunc
	done   chan struct{}
	fail   func(context.Context) error // of the store
	got    []string                    // titles of what is durable
}

func connected(t *testing.T, settings string) *line {
	l := &line{s: opened(t, everything+"listen: ['tcp://127.0.0.1:0']\n"+settings), done: make(chan struct{})}
	l.s.now = time.Now
	ctx, cancel := context.WithCancel(t.Context())
	l.stop = cancel
	d := newDeliverer(ctx, l.s, func(ctx context.Context, b connectors.Batch) (connectors.Receipt, error) {
		if l.fail != nil {
			if err := l.fail(ctx); err != nil {
				return connectors.Receipt{}, err
			}
		}
		for _, f := range b.Findings {
			l.got = append(l.got, f.Title)
		}
		return connectors.Receipt{}, nil
	})
	var server net.Conn
	l.client, server = net.Pipe()
	go func() {
		defer close(l.done)
		defer d.end()
		l.s.read(ctx, server, d)
	}()
	return l
}

// end closes the client's side and waits for the other.
func (l *line) end() {
	l.client.Close()
	<-l.done
	l.stop()
}

func bubble(t *testing.T, f func(*testing.T)) { synctest.Test(t, f) }

// While the store takes nothing, one batch is read and no more; the sender has to
// wait, and nothing is lost.
func TestBackPressure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := connected(t, "")
		room := make(chan struct{})
		l.fail = func(context.Context) error { <-room; return nil }
		const total = 5000
		sent := 0
		go func() {
			for ; sent < total; sent++ {
				if _, err := fmt.Fprintf(l.client, "<13>message %d\n", sent); err != nil {
					break
				}
			}
			l.client.Close()
		}()
		synctest.Wait()
		if read := l.s.counts.messages.Load(); read > maxBatch || sent > maxBatch+readBuffer/len("<13>message 0\n") || len(l.got) > 0 {
			t.Errorf("while the store took nothing, %d messages were read and %d could be sent", read, sent)
		}
		close(room)
		<-l.done
		if len(l.got) != total {
			t.Fatalf("%d of %d messages are durable", len(l.got), total)
		}
		for i, title := range l.got {
			if want := fmt.Sprintf("message %d", i); title != want {
				t.Fatalf("message %d is %q", i, title)
			}
		}
		l.end()
	})
}

func TestStoreThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := connected(t, "")
		send := func(text string) {
			if _, err := l.client.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		left := 100
		l.fail = func(context.Context) error {
			if left--; left >= 0 {
				return hub.E(hub.Transient, "no room")
			}
			return nil
		}
		send("<13>patience\n")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(l.got) != 1 {
			t.Fatal("after ten minutes it is not durable")
		}
		l.fail = func(context.Context) error { return errors.New("a fault of ours") }
		send("<13>poison\n")
		time.Sleep(time.Minute)
		synctest.Wait()
		if l.s.counts.lost.Load() != 1 {
			t.Errorf("%d lost, want the one that the store refuses", l.s.counts.lost.Load())
		}
		l.fail = nil
		send("<13>after\n")
		l.end()
		if got := strings.Join(l.got, " "); got != "patience after" {
			t.Errorf("durable: %s", got)
		}
	})
}

// What was read before listening ends becomes durable all the same, unless that
// takes too long.
func TestEndKeepsWhatWasRead(t *testing.T) {
	for took, want := range map[time.Duration]int{grace - time.Second: 1, grace + time.Second: 0} {
		bubble(t, func(t *testing.T) {
			l := connected(t, "")
			l.fail = func(ctx context.Context) error {
				select {
				case <-time.After(took):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if _, err := l.client.Write([]byte("<13>almost too late\n")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			l.stop()
			<-l.done
			if len(l.got) != want || l.s.counts.lost.Load() != int64(1-want) {
				t.Errorf("with a store that takes %v: %d durable, %d lost", took, len(l.got), l.s.counts.lost.Load())
			}
			l.end()
		})
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := connected(t, "idle_timeout: 1m\n")
		start := time.Now()
		for range 3 {
			time.Sleep(59 * time.Second)
			if _, err := l.client.Write([]byte("<13>still here\n")); err != nil {
				t.Fatal(err)
			}
		}
		<-l.done
		if took := time.Since(start); took != 3*59*time.Second+time.Minute || len(l.got) != 3 {
			t.Errorf("ended after %v with %d messages", took, len(l.got))
		}
		l.end()
	})
}

func TestFastConnectionsWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := connected(t, "max_rate: 10\n")
		start := time.Now()
		if _, err := l.client.Write([]byte(strings.Repeat("<13>x\n", 60))); err != nil {
			t.Fatal(err)
		}
		l.end()
		if took := time.Since(start); took < 5*time.Second || took > 6*time.Second || len(l.got) != 60 {
			t.Errorf("60 messages at 10 a second took %v, %d arrived", took, len(l.got))
		}
	})
	s := opened(t, everything+"listen: ['tcp://127.0.0.1:0']\nmax_rate: 1\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(s.slow(ctx, netip.Addr{}), s.slow(ctx, netip.Addr{})); err == nil {
		t.Error("waiting does not end with the context")
	}
}
