package webhook_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay/webhook"
	"github.com/tocsin/tocsin/test/report"
)

// A hostile receiver does what it likes with a connection. It says whether the
// head of its answer is a complete 2xx one.
type hostile struct {
	name  string
	taken bool
	do    func(c net.Conn, end <-chan struct{})
}

func drip(c net.Conn, text string, end <-chan struct{}) {
	for i := range len(text) {
		select {
		case <-end:
			return
		case <-time.After(time.Second):
		}
		if _, err := c.Write([]byte{text[i]}); err != nil {
			return
		}
	}
}

// flood writes the same again and again.
func flood(c net.Conn, text string) {
	b := []byte(strings.Repeat(text, 1+(64<<10)/len(text)))
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// bomb is 10 MiB that unpack to 10 GiB.
func bomb() []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	zeros := make([]byte, 1<<20)
	for range 64 { // as much as tells; the rest is repeated members
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	return bytes.Repeat(b.Bytes(), max(1, (10<<20)/b.Len()))
}

func hostiles() []hostile {
	packed := bomb()
	const ok = "HTTP/1.1 200 OK\r\n"
	return []hostile{
		{"says nothing", false, func(_ net.Conn, end <-chan struct{}) { <-end }},
		{"drips its head", false, func(c net.Conn, end <-chan struct{}) { drip(c, ok+"Content-Length: 2\r\n\r\nok", end) }},
		{"drips its body", true, func(c net.Conn, end <-chan struct{}) {
			io.WriteString(c, ok+"Content-Length: 100\r\n\r\n")
			drip(c, strings.Repeat("x", 100), end)
		}},
		{"has no end", true, func(c net.Conn, _ <-chan struct{}) {
			io.WriteString(c, ok+"Content-Type: text/plain\r\n\r\n")
			flood(c, "x")
		}},
		{"sends chunks without end", true, func(c net.Conn, _ <-chan struct{}) {
			io.WriteString(c, ok+"Transfer-Encoding: chunked\r\n\r\n")
			flood(c, "4\r\nxxxx\r\n")
		}},
		{"sends a bomb", true, func(c net.Conn, _ <-chan struct{}) {
			fmt.Fprintf(c, ok+"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(packed))
			c.Write(packed)
		}},
		{"has a large head", false, func(c net.Conn, _ <-chan struct{}) {
			io.WriteString(c, ok)
			for i := range 1 << 10 {
				fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("x", 1<<10))
			}
			io.WriteString(c, "\r\n")
		}},
		{"has a head without end", false, func(c net.Conn, _ <-chan struct{}) { io.WriteString(c, ok); flood(c, "X: y\r\n") }},
		{"floods with 103", false, func(c net.Conn, _ <-chan struct{}) { flood(c, "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n") }},
		{"floods with 100", false, func(c net.Conn, _ <-chan struct{}) { flood(c, "HTTP/1.1 100 Continue\r\n\r\n") }},
		{"resets in its body", true, func(c net.Conn, _ <-chan struct{}) {
			io.WriteString(c, ok+"Content-Length: 1000\r\n\r\nhalf")
			_ = c.(*net.TCPConn).SetLinger(0)
		}},
		{"closes at once", false, func(net.Conn, <-chan struct{}) {}},
		{"speaks no HTTP", false, func(c net.Conn, _ <-chan struct{}) { io.WriteString(c, "220 mail.example ESMTP\r\n") }},
		{"sends half a head", false, func(c net.Conn, _ <-chan struct{}) { io.WriteString(c, ok+"Content-Le") }},
		{"lies about its length", true, func(c net.Conn, _ <-chan struct{}) {
			io.WriteString(c, ok+"Content-Length: 9223372036854775807\r\n\r\nx")
		}},
	}
}

// serve gives the address of a hostile receiver. It reads requests and then does
// as it likes.
func serve(t *testing.T, h hostile, end <-chan struct{}) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					h.do(c, end)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return "http://" + l.Addr().String()
}

// descriptors counts open files of this process.
func descriptors(t *testing.T) int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("NOT TESTED: /proc/self/fd cannot be read: %v", err)
	}
	return len(all)
}

// A complete 2xx head is success, whatever follows it; nothing else is.
func TestWhatHostileReceiversTake(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	target := webhook.New(webhook.Options{Client: client()})
	for _, h := range hostiles() {
		const limit = 700 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		begun := time.Now()
		a, err := target.Send(ctx, endpoint(serve(t, h, end)), delivery())
		cancel()
		if took := time.Since(begun); took > limit+slack/6 {
			t.Errorf("one that %s: took %v, want at most %v", h.name, took, limit)
		}
		if (err == nil) != h.taken || err == nil && a.Status != 200 {
			t.Errorf("one that %s: status %d, error %v; taken should be %v", h.name, a.Status, err, h.taken)
		}
	}
}

// Two hundred hostile receivers at a time: each attempt ends in time, keeps little,
// and leaves nothing behind.
func TestHostileReceivers(t *testing.T) {
	const at, limit = 200, 500 * time.Millisecond
	rep := report.Of(t, 5)
	end := make(chan struct{})
	all := hostiles()
	urls := make([]string, at) // each is an endpoint of its own
	for i := range urls {
		urls[i] = serve(t, all[i%len(all)], end)
	}
	c := client()
	target := webhook.New(webhook.Options{Client: c})
	runtime.GC()
	before, files := memory(), descriptors(t)
	var peak uint64
	var mu sync.Mutex
	var sends sync.WaitGroup
	for i := range at {
		h, url := all[i%len(all)], urls[i]
		sends.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			begun := time.Now()
			a, err := target.Send(ctx, endpoint(url), delivery())
			took := time.Since(begun)
			mu.Lock()
			defer mu.Unlock()
			peak = max(peak, memory())
			rep.Most("longest_beyond_the_limit_ms", float64((took - limit).Milliseconds()))
			rep.Most("largest_body_kept_bytes", float64(len(a.Body)))
			if took > limit+slack {
				t.Errorf("one that %s: took %v, want at most %v", h.name, took, limit)
			}
			if err == nil && !h.taken {
				t.Errorf("one that %s: counts as taken, with status %d", h.name, a.Status)
			}
			if len(a.Body) > safehttp.KeptBody || len(fmt.Sprint(a.Response)) > 80<<10 {
				t.Errorf("one that %s: kept %d bytes of its body", h.name, len(a.Body))
			}
		})
	}
	sends.Wait()
	close(end)
	c.CloseIdle()
	rep.Figure("endpoints", at)
	rep.Figure("kinds", len(all))
	rep.Figure("limit", limit)
	rep.Figure("memory_growth_mib", float64(int64(peak)-int64(before))/(1<<20))
	if grown := int64(peak) - int64(before); grown > 64<<20 {
		t.Errorf("memory grew by %d MiB, want at most 64", grown>>20)
	}
	look := time.NewTicker(10 * time.Millisecond) // connections close behind the scenes
	defer look.Stop()
	for deadline := time.Now().Add(10 * time.Second); descriptors(t) > files+4; <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors are open, before it were %d", descriptors(t), files)
		}
	}
	rep.Figure("descriptors_left_open", max(descriptors(t)-files, 0))
}

// slack is what an attempt may take beyond its limit: 250 ms where nothing else
// runs, as when the criteria are shown. On a machine that is busy, with two hundred
// receivers beside, the scheduler alone takes more.
var slack = time.Duration(report.Size(3000, 250)) * time.Millisecond

func memory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
