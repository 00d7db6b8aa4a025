package splunkhec

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// Root is where Splunk's paths are.
func (*Source) Root() string { return "/services/collector" }

// Claims says whether the request has this source's token.
func (s *Source) Claims(r connectors.Request) bool {
	token, fault := s.credential(r)
	return fault == nil && s.right(token)
}

// right compares in constant time.
func (s *Source) right(token string) bool {
	current, old := s.cfg.Token.Equal(token), s.cfg.OldToken.Equal(token)
	return current || old
}

// credential gives the token of a request: behind Splunk, or as the password of
// Basic, or where it is allowed in the query.
func (s *Source) credential(r connectors.Request) (string, *answer) {
	header := strings.TrimSpace(r.Header.Get("Authorization"))
	query := r.Query.Get("token")
	switch {
	case header == "" && query == "":
		return "", &tokenRequired
	case header == "" && !s.cfg.QueryToken:
		return "", &queryToken
	case header == "":
		return query, nil
	}
	scheme, rest, _ := strings.Cut(header, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case rest == "":
	case strings.EqualFold(scheme, "Splunk"):
		return rest, nil
	case strings.EqualFold(scheme, "Basic"):
		pair, err := base64.StdEncoding.DecodeString(rest)
		if _, password, ok := strings.Cut(string(pair), ":"); err == nil && ok {
			return password, nil
		}
	}
	return "", &invalidAuthorization
}

// check refuses whoever does not have the token.
func (s *Source) check(r connectors.Request) *answer {
	token, fault := s.credential(r)
	if fault != nil {
		return fault
	}
	if !s.right(token) {
		return &invalidToken
	}
	return nil
}

// Serve answers at Splunk's paths; each may end in the version /1.0.
func (s *Source) Serve(ctx context.Context, r connectors.Request, accept connectors.Accept) connectors.Response {
	path := strings.TrimSuffix(strings.Trim(r.Path, "/"), "/1.0")
	if path == "health" {
		return s.health(r).response()
	}
	handle := map[string]func(context.Context, connectors.Request, connectors.Accept) answer{
		"": s.events, "1.0": s.events, "event": s.events, "raw": s.raw, "ack": s.ack,
	}[path]
	switch {
	case handle == nil:
		return notFound.response()
	case r.Method != http.MethodPost:
		return wrongMethod.response()
	}
	if fault := s.check(r); fault != nil {
		return fault.response()
	}
	return handle(ctx, r, accept).response()
}

// health needs no token, as with Splunk.
func (s *Source) health(r connectors.Request) answer {
	if r.Method != http.MethodGet {
		return wrongMethod
	}
	if at := s.busy.Load(); at != 0 && s.now().Sub(time.UnixMilli(at)) < 10*time.Second {
		return unhealthy
	}
	return healthy
}

func (s *Source) events(ctx context.Context, r connectors.Request, accept connectors.Accept) answer {
	return s.take(ctx, r, accept, s.readEvents(bytes.NewReader(r.Body)))
}

func (s *Source) raw(ctx context.Context, r connectors.Request, accept connectors.Accept) answer {
	return s.take(ctx, r, accept, s.readLines(r.Body, metaOf(r.Query)))
}

// take makes what a request brought durable and answers. Events that cannot be
// used do not keep the others out; the answer names the first of them.
func (s *Source) take(ctx context.Context, r connectors.Request, accept connectors.Accept, reading *reading) answer {
	channel, fault := s.channel(r)
	if fault != nil {
		return *fault
	}
	batch, faults, err := reading.all()
	if err != nil {
		return s.failed(err)
	}
	if reading.count == 0 {
		return noData
	}
	if _, err := accept(ctx, batch); err != nil {
		return s.failed(err)
	}
	s.busy.Store(0)
	if len(faults) > 0 {
		a := faults[0].answer
		a.Event = &faults[0].index
		return a
	}
	a := success
	if s.cfg.Ack {
		id := s.acks.issue(channel)
		a.AckID = &id
	}
	return a
}

// failed answers a request that could not be taken.
func (s *Source) failed(err error) answer {
	a := serverError
	switch kind := hub.KindOf(err); kind {
	case hub.Transient, hub.RateLimited:
		s.busy.Store(s.now().UnixMilli())
		a = busy
		var e *hub.Error
		if errors.As(err, &e) {
			a.retryAfter = max(e.RetryAfter, time.Second)
		}
	case hub.TooLarge:
		a = tooLarge
	default:
		s.log.Error("events could not be taken", "error", err)
	}
	return a
}

// channel gives the request's channel, which must be a GUID. It is needed where
// acknowledgement is on.
func (s *Source) channel(r connectors.Request) (string, *answer) {
	channel := strings.TrimSpace(r.Header.Get("X-Splunk-Request-Channel"))
	if channel == "" {
		channel = r.Query.Get("channel")
	}
	switch {
	case channel == "" && s.cfg.Ack:
		return "", &channelMissing
	case channel != "" && !isGUID(channel):
		return "", &channelInvalid
	}
	return strings.ToLower(channel), nil
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20 // small letters
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if s[i] != '-' {
				return false
			}
		case (c < '0' || c > '9' || s[i] < '0') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

// ack tells which of the given ids are acknowledged.
func (s *Source) ack(_ context.Context, r connectors.Request, _ connectors.Accept) answer {
	if !s.cfg.Ack {
		return ackDisabled
	}
	channel, fault := s.channel(r)
	if fault != nil {
		return *fault
	}
	var asked struct {
		Acks []uint64 `json:"acks"`
	}
	if len(bytes.TrimSpace(r.Body)) == 0 {
		return noData
	}
	if err := json.Unmarshal(r.Body, &asked); err != nil || asked.Acks == nil {
		return invalidFormat
	}
	a := answer{status: http.StatusOK, acks: map[uint64]bool{}}
	for _, id := range asked.Acks {
		a.acks[id] = s.acks.issued(channel, id)
	}
	return a
}

// metaOf reads what the query of a raw request says of its events.
func metaOf(q url.Values) meta {
	return meta{Time: inbound.Text(q.Get("time")), Host: inbound.Text(q.Get("host")), Source: inbound.Text(q.Get("source")), Sourcetype: inbound.Text(q.Get("sourcetype")), Index: inbound.Text(q.Get("index"))}
}
