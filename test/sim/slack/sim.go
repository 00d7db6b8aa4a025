// Package slack simulates what the hub uses of Slack: the Web API methods
// chat.postMessage, chat.update, conversations.history, conversations.replies,
// users.info, oauth.v2.access and auth.test, incoming webhooks, buttons with their
// signed interactions and response_url, and the page on which an app is installed.
//
// It enforces the limits that Slack's documentation gives: one message a
// second for a channel, 50 updates a minute, both with 429 and Retry-After;
// content types; the shape and sizes of Block Kit blocks; a message's total
// size. The Web API answers errors as {"ok": false, "error": …} with status
// 200, webhooks in plain text, as the real ones do. What breaks a limit is a
// violation, and so is a request before Retry-After is over. It imports
// nothing of ours but [unkind].
//
// To steer it, beside what package unkind offers:
//
//	GET  /_sim/messages[?channel=C…]   messages as they stand, with their edits
//	POST /_sim/click     {"channel", "ts", "action_id", "url", "secret", "user"}
//	     presses a button: posts the signed interaction to url, gives its answer
//	POST /_sim/delete    {"channel", "ts"}   somebody deletes a message
//	GET  /_sim/whispers  what was said to one person only, by response_url
//	PUT  /_sim/limits    {"per_second", "burst", "updates_per_minute"}
//	PUT  /_sim/channels  {"C0123": "is_archived"}   a channel's error; "" for none
package slack

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// Defaults of [Options].
const (
	DefaultToken       = "xoxb-simulated-bot-token"
	DefaultWebhookPath = "/services/T024BE7LD/B024BE7LH/simulated-webhook"
)

// Options say how the simulator starts.
type Options struct {
	unkind.Options
	Token       string // of the bot
	WebhookPath string // the incoming webhook; its channel is C0WEBHOOK
	Limits      Limits
	App         App
	Scopes      []string // of the token; nil for all that there are
}

// Limits are Slack's rates; zero fields take Slack's own.
type Limits struct {
	PerSecond        float64 `json:"per_second"` // messages for one channel: 1
	Burst            int     `json:"burst"`      // short bursts are tolerated: 1
	UpdatesPerMinute int     `json:"updates_per_minute"`
}

func (l Limits) complete() Limits {
	if l.PerSecond == 0 {
		l.PerSecond = 1
	}
	if l.Burst == 0 {
		l.Burst = 1
	}
	if l.UpdatesPerMinute == 0 {
		l.UpdatesPerMinute = 50
	}
	return l
}

// A Message is one message as it stands.
type Message struct {
	Channel  string           `json:"channel"`
	TS       string           `json:"ts"`
	ThreadTS string           `json:"thread_ts,omitempty"`
	Text     string           `json:"text"`
	Blocks   []map[string]any `json:"blocks,omitempty"`
	Edits    int              `json:"edits"`

	Attachments []map[string]any `json:"attachments,omitempty"`
	Broadcast   bool             `json:"broadcast,omitempty"`
	Foreign     bool             `json:"foreign,omitempty"` // another app's

	Webhook  bool      `json:"webhook,omitempty"`
	Mentions []string  `json:"mentions,omitempty"` // that would notify people
	At       time.Time `json:"at"`

	metadata *metadata
}

// A Sim is the simulated Slack. It is an [http.Handler].
type Sim struct {
	*unkind.Side
	handler http.Handler
	token   string
	webhook string

	mu       sync.Mutex // guards all below
	limits   Limits
	channels map[string]string // by id: the error that posting there gives
	messages []*Message
	rates    map[string]*rate
	serial   int
	deleted  map[string]bool // channel and ts of what is gone
	closed   bool            // messages are too old to be edited
	app      App
	scopes   []string
	users    map[string]User
	codes    map[string]code
	tokens   map[string]bool // of installs
	hooks    map[string]*hook
	whispers []Whisper
	host     string // under which the simulator was last called
}

// New makes a simulator.
func New(o Options) *Sim {
	s := &Sim{
		Side: unkind.New("slack", o.Options), token: o.Token, webhook: o.WebhookPath, limits: o.Limits.complete(),
		channels: map[string]string{}, rates: map[string]*rate{}, deleted: map[string]bool{}, users: usual(), app: o.App.complete(),
		codes: map[string]code{}, tokens: map[string]bool{}, hooks: map[string]*hook{}, scopes: o.Scopes,
	}
	if s.scopes == nil {
		s.scopes = allScopes
	}
	if s.token == "" {
		s.token = DefaultToken
	}
	if s.webhook == "" {
		s.webhook = DefaultWebhookPath
	}
	s.handler = s.Wrap(unkind.Voice{Failed: failed}, http.HandlerFunc(s.serve))
	return s
}

// ServeHTTP answers API, webhook and steering requests.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Messages gives the messages of a channel, "" for all, oldest first.
func (s *Sim) Messages(channel string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Message{}
	for _, m := range s.messages {
		if channel == "" || m.Channel == channel {
			out = append(out, *m)
		}
	}
	return out
}

// SetLimits changes the rates.
func (s *Sim) SetLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l.complete()
	clear(s.rates)
}

// Break makes posting to a channel give an error, such as is_archived,
// channel_not_found or not_in_channel; "" mends it.
func (s *Sim) Break(channel, fault string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[channel] = fault
}

func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.host = r.Host
	s.mu.Unlock()
	switch {
	case r.URL.Path == "/oauth/v2/authorize":
		s.authorize(w, r)
	case strings.HasPrefix(r.URL.Path, "/actions/"):
		s.whisper(w, r)
	case unkind.Steering(r):
		s.steer(w, r)
	case strings.HasPrefix(r.URL.Path, "/services/"):
		s.incoming(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/"):
		s.api(w, r)
	default:
		s.Violate(r, "path is none of Slack's")
		http.Error(w, "not found", http.StatusNotFound)
	}
}

func throttled(w http.ResponseWriter, seconds int) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	unkind.Answer(w, http.StatusTooManyRequests, map[string]any{"ok": false, "error": "ratelimited"})
}

func failed(w http.ResponseWriter, status int) {
	unkind.Answer(w, status, map[string]any{"ok": false, "error": "internal_error"})
}

// A rate is a bucket of tokens.
type rate struct {
	tokens float64
	at     time.Time
}

// within takes a token of the named limit, or answers 429; now and then it does
// so on purpose.
func (s *Sim) within(w http.ResponseWriter, r *http.Request, name string, perSecond float64, burst int) bool {
	early := max(s.Early(r, name), time.Duration(s.Throttles())*time.Second)
	s.mu.Lock()
	now := s.Now()
	b := s.rates[name]
	if b == nil {
		b = &rate{tokens: float64(burst), at: now}
		s.rates[name] = b
	}
	b.tokens = min(b.tokens+now.Sub(b.at).Seconds()*perSecond, float64(burst))
	b.at = now
	ok := b.tokens >= 1 && early == 0
	var wait time.Duration
	if ok {
		b.tokens--
	} else {
		wait = max(early, time.Duration((1-b.tokens)/perSecond*float64(time.Second)))
	}
	s.mu.Unlock()
	if ok {
		return true
	}
	seconds := max(int((wait+time.Second-1)/time.Second), 1)
	s.Told(name, time.Duration(seconds)*time.Second)
	throttled(w, seconds)
	return false
}

// mentions finds what would notify people.
func mentions(text string) []string {
	var found []string
	for _, start := range []string{"<!channel", "<!here", "<!everyone", "<!subteam^", "<@"} {
		if strings.Contains(text, start) {
			found = append(found, start)
		}
	}
	slices.Sort(found)
	return found
}
