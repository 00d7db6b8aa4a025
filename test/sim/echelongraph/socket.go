package echelongraph

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// sockets are the event connections.
type sockets struct {
	mu   sync.Mutex // guards open and sent
	open map[*socket]bool
	sent int
}

// A socket is one event connection.
type socket struct {
	queue chan []byte
	end   context.CancelFunc
	code  websocket.StatusCode // why it was ended
	text  string
}

// maxQueue is how many events wait for a slow client before it is let go.
const maxQueue = 1000

// serveSocket holds one connection until its token ends.
func (s *Sim) serveSocket(w http.ResponseWriter, r *http.Request) {
	if !s.within(w, r) || !s.bearer(w, r) {
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	life := s.access[token].Sub(s.Now())
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), life)
	defer cancel()
	// Before the handshake is answered, so that nothing is missed after it.
	x := &socket{queue: make(chan []byte, maxQueue), end: cancel, code: websocket.StatusPolicyViolation, text: "token expired"}
	s.sockets.add(x)
	defer s.sockets.remove(x)
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.Violate(r, "no WebSocket handshake: %v", err)
		return
	}
	defer conn.CloseNow()
	// Answers pings; a message from the client, or its leaving, ends it.
	context.AfterFunc(conn.CloseRead(r.Context()), cancel)
	for {
		select {
		case body := <-x.queue:
			if conn.Write(r.Context(), websocket.MessageText, body) != nil { // not ctx, whose end would break it off
				return
			}
		case <-ctx.Done():
			_ = conn.Close(x.code, x.text)
			return
		}
	}
}

func (o *sockets) add(x *socket) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[x] = true
}

func (o *sockets) remove(x *socket) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, x)
}

// Listeners is how many event connections are open.
func (s *Sim) Listeners() int {
	s.sockets.mu.Lock()
	defer s.sockets.mu.Unlock()
	return len(s.sockets.open)
}

// send queues an event for every connection; some come twice, and some
// connections break instead.
func (o *sockets) send(s *Sim, body []byte) {
	repeat, cut := s.Knobs().Repeat, s.Knobs().Cut
	o.mu.Lock()
	defer o.mu.Unlock()
	for x := range o.open {
		if s.Chance(cut) {
			x.end()
			continue
		}
		times := 1
		if s.Chance(repeat) {
			times = 2
		}
		for range times {
			select {
			case x.queue <- body:
				o.sent++
			default:
				x.end()
			}
		}
	}
}

// end ends every connection.
func (o *sockets) end(code websocket.StatusCode, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for x := range o.open {
		x.code, x.text = code, text
		x.end()
	}
}

// Drop breaks every event connection.
func (s *Sim) Drop() { s.sockets.end(websocket.StatusGoingAway, "going away") }

// Run sends webhooks with client until ctx ends, and then ends the sockets.
func (s *Sim) Run(ctx context.Context, client *http.Client) {
	for ctx.Err() == nil {
		s.Flush(ctx, client)
		select {
		case <-s.outbox.wake:
		case <-ctx.Done():
		}
	}
	s.Drop()
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
