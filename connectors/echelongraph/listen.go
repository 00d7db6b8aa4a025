package echelongraph

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

const (
	dialTimeout = 30 * time.Second
	// pingEvery finds out that a connection has died without a word.
	pingEvery = 30 * time.Second
	maxEvent  = 1 << 20 // bytes
)

// Listen opens the event connection, and asks for a pull: for what happened
// while there was none. The pull starts after the connection is open, so nothing
// falls between them.
func (s Live) Listen(ctx context.Context) (func(context.Context, connectors.Accept) error, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.wake()
	return func(ctx context.Context, accept connectors.Accept) error { return s.stay(ctx, conn, accept) }, nil
}

// Places is where events are heard.
func (s Live) Places() []string { return []string{s.reads.Base.JoinPath(s.path("events")).String()} }

// lasting is how long a connection has to live for its end to be a usual one: it
// ends with its token, or with the process at the other end.
const lasting = time.Minute

// stay hears events, and connects anew at once when a connection that lasted
// has ended.
func (s Live) stay(ctx context.Context, conn *websocket.Conn, accept connectors.Accept) error {
	for {
		opened := time.Now()
		err := s.hear(ctx, conn, accept)
		if err == nil || time.Since(opened) < lasting {
			return err
		}
		if conn, err = s.dial(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		s.wake()
	}
}

// dial connects; once more with a new token if the first was refused.
func (s Live) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for try := 0; ; try++ {
		token, err := s.session.Token(ctx)
		if err != nil {
			return nil, err
		}
		conn, status, err := s.connect(ctx, token)
		if err == nil {
			conn.SetReadLimit(maxEvent)
		}
		if status != http.StatusUnauthorized || try > 0 {
			return conn, err
		}
		s.session.Reject(token)
	}
}

// connect makes one try, and gives the status of a refusal.
func (s Live) connect(ctx context.Context, token secret.Secret) (*websocket.Conn, int, error) {
	if err := s.reads.Allow(); err != nil {
		return nil, 0, err
	}
	client := *s.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	conn, res, err := websocket.Dial(ctx, s.reads.Base.JoinPath(s.path("events")).String(), &websocket.DialOptions{
		HTTPClient: &client, HTTPHeader: http.Header{"Authorization": {"Bearer " + token.Reveal()}, "User-Agent": {"Tocsin"}},
	})
	if res != nil {
		s.reads.Note(res)
	}
	switch {
	case err == nil:
		return conn, 0, nil
	case res == nil || res.StatusCode == http.StatusSwitchingProtocols:
		var named *hub.Error // the safe client refuses addresses with one of these
		if errors.As(err, &named) {
			return nil, 0, err
		}
		return nil, 0, hub.Wrap(hub.Transient, errors.New(s.session.Scrub(err.Error())), "EchelonGraph's events could not be reached")
	}
	return nil, res.StatusCode, refusal(res)
}

// refusal words a handshake that was answered with a status.
func refusal(res *http.Response) error {
	e := hub.E(hub.Transient, "EchelonGraph's events were refused with status "+strconv.Itoa(res.StatusCode))
	switch res.StatusCode {
	case http.StatusUnauthorized:
		e.Kind, e.Msg = hub.Unauthorized, "EchelonGraph's events do not accept a token that it has just given"
	case http.StatusForbidden:
		e.Kind, e.Msg = hub.Forbidden, "EchelonGraph's user or plan may not hear events; set events: false"
	case http.StatusNotFound:
		e.Kind, e.Msg = hub.NotFound, "EchelonGraph has no events at this path; set paths.events, or events: false"
	case http.StatusTooManyRequests:
		e.Kind = hub.RateLimited
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(min(seconds, 1<<20))*time.Second, 24*time.Hour)
	}
	return e
}

// hear takes events until ctx or the connection ends. An event that could not be
// made durable ends the connection: the pull after the next one brings it.
func (s Live) hear(ctx context.Context, conn *websocket.Conn, accept connectors.Accept) error {
	var pinging sync.WaitGroup
	defer pinging.Wait()
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pinging.Go(func() { ping(ctx, conn) })
	for {
		_, body, err := conn.Read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return hub.Wrap(hub.Transient, errors.New(s.session.Scrub(err.Error())), "EchelonGraph ended the event connection")
		}
		b := s.decode(body)
		if len(b.Findings)+len(b.Rejects) == 0 {
			continue
		}
		if _, err := accept(ctx, b); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// decode reads a message.
func (s Live) decode(body []byte) connectors.Batch {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return connectors.Batch{Rejects: []connectors.Reject{{Error: "the message is not a JSON object with id, type and data", Item: body}}}
	}
	return s.heard(e)
}

// ping ends the connection when no answer comes.
func ping(ctx context.Context, conn *websocket.Conn) {
	for {
		timer := time.NewTimer(pingEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		within, cancel := context.WithTimeout(ctx, pingEvery/2)
		err := conn.Ping(within)
		cancel()
		if err != nil {
			_ = conn.CloseNow()
			return
		}
	}
}
