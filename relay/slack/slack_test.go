package slack_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
	"github.com/tocsin/tocsin/relay/relaytest"
	"github.com/tocsin/tocsin/relay/slack"
	sim "github.com/tocsin/tocsin/test/sim/slack"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

func client() *safehttp.Client {
	return safehttp.New(safehttp.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}

func event() *hub.Event {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	risk := 87.5
	return &hub.Event{
		SpecVersion: "1.0", ID: "msg_01", Source: "https://tocsin.example.com", Type: hub.AlertCreated, Subject: "alt_01", Time: at,
		Data: hub.EventData{Reason: "created", Actor: "source:cybervault", Alert: &hub.Alert{
			ID: "alt_01", Title: "Root account login", Description: "From 203.0.113.9", Type: "iam", Severity: hub.Critical, Status: hub.AlertOpen,
			AssetID: "srv_1", Asset: &hub.Asset{Account: "012345670123"}, Sources: []string{"cybervault"}, FirstSeen: at, Count: 3, Generation: 1, RiskScore: &risk,
			Vulnerability: &hub.Vulnerability{CVE: "CVE-2026-1", Package: "openssl"}, Labels: map[string]string{"rule_id": "R-7"}, Assignee: "ada",
		}},
	}
}

func delivery(ev *hub.Event, params string) *hub.Delivery {
	body, err := json.Marshal(ev)
	if err != nil {
		panic(err)
	}
	d := &hub.Delivery{ID: "dlv_01", Kind: hub.KindSlack, Action: hub.ActionSend, EventID: ev.ID, EventType: ev.Type, Subject: ev.Subject, Body: body}
	if params != "" {
		d.Run, d.Action, d.Params = "run_1", hub.ActionPost, []byte(params)
	}
	return d
}

func bot(url string) *hub.Endpoint {
	return &hub.Endpoint{
		ID: "chn_1", Kind: hub.KindSlack, Enabled: true, Config: map[string]string{"channel": "C0123", "api_url": url + "/api"},
		Secrets: hub.EndpointSecrets{Tokens: map[string]string{"bot_token": sim.DefaultToken}},
	}
}

func hook(url string) *hub.Endpoint {
	return &hub.Endpoint{ID: "chn_2", Kind: hub.KindSlack, Enabled: true, URL: url + sim.DefaultWebhookPath}
}

func newTarget(c *safehttp.Client) relay.Target { return slack.New(slack.Options{Client: c}) }

func kind(status int) hub.Kind {
	switch {
	case status == 200:
		return ""
	case status == 410:
		return hub.Gone
	case status == 429:
		return hub.RateLimited
	case status == 408 || status >= 500:
		return hub.Transient
	}
	return hub.Invalid
}

func TestKitBot(t *testing.T) {
	relaytest.Run(t, relaytest.Kit{
		New: newTarget, Endpoint: bot, Kind: kind, Secrets: []string{sim.DefaultToken},
		Delivery: func() *hub.Delivery { return delivery(event(), "") },
		Taken: func(w http.ResponseWriter, status int) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, `{"ok":true,"channel":"C0123","ts":"1.2"}`)
		},
		Key: func(_ *http.Request, body []byte) string {
			v, _ := url.ParseQuery(string(body))
			if !strings.Contains(v.Get("metadata"), `"delivery":"dlv_01"`) {
				return ""
			}
			return v.Get("metadata")
		},
	})
}

func TestKitIncomingWebhook(t *testing.T) {
	relaytest.Run(t, relaytest.Kit{
		New: newTarget, Endpoint: hook, Kind: kind, Secrets: []string{strings.TrimPrefix(sim.DefaultWebhookPath, "/")},
		Delivery: func() *hub.Delivery { return delivery(event(), "") },
		Taken:    func(w http.ResponseWriter, status int) { w.WriteHeader(status); io.WriteString(w, "ok") },
		Key:      func(_ *http.Request, body []byte) string { return string(body) },
	})
}

func simulated(t *testing.T) (*sim.Sim, string) {
	s := sim.New(sim.Options{Options: unkind.Options{Kind: true}, Limits: sim.Limits{PerSecond: 1000, Burst: 1000}})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv.URL
}

// Both ways, every event type, against a Slack that checks limits.
func TestSlackTakesEveryEvent(t *testing.T) {
	s, url := simulated(t)
	target := newTarget(client())
	posts := 0
	for _, typ := range hub.EventTypes {
		ev := event()
		ev.Type = typ
		if !strings.HasPrefix(string(typ), "alert.") {
			ev.Data = hub.EventData{Reason: "410 Gone", Object: []byte(`{"a":1}`), Endpoint: &hub.EndpointBrief{ID: "whk_1", Name: "siem", Kind: "webhook"}}
		}
		ev.Data.Changes = hub.Changes{"severity": {"high", "critical"}, "assignee": {nil, "ada"}}
		for _, params := range []string{"", `{"message":"*Look* at this"}`} {
			for _, e := range []*hub.Endpoint{bot(url), hook(url)} {
				if a, err := target.Send(t.Context(), e, delivery(ev, params)); err != nil || a.Status != 200 {
					t.Errorf("%s to %s: status %d, %v", typ, e.ID, a.Status, err)
				}
				posts++
			}
		}
	}
	if v := s.Violations(); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
	if n := len(s.Messages("")); n != posts {
		t.Errorf("%d messages, want %d", n, posts)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	s, url := simulated(t)
	target := newTarget(client())
	for code, want := range map[string]struct {
		kind hub.Kind
		text string
	}{
		"channel_not_found": {hub.Invalid, "invite the app"},
		"is_archived":       {hub.Invalid, "archived"},
		"not_in_channel":    {hub.Invalid, "/invite"},
		"missing_scope":     {hub.Invalid, "chat:write"},
		"fatal_error":       {hub.Transient, "fatal_error"},
		"something_new":     {hub.Invalid, "something_new"},
	} {
		s.Break("C0123", code)
		_, err := target.Send(t.Context(), bot(url), delivery(event(), ""))
		if hub.KindOf(err) != want.kind || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s gives %q (%v), want %q with %q", code, hub.KindOf(err), err, want.kind, want.text)
		}
	}
	s.Break("C0123", "")
	e := bot(url)
	e.Secrets.Tokens["bot_token"] = "xoxb-wrong-wrong"
	if _, err := target.Send(t.Context(), e, delivery(event(), "")); hub.KindOf(err) != hub.Invalid || !strings.Contains(err.Error(), "xoxb-") || strings.Contains(err.Error(), "wrong-wrong") {
		t.Errorf("a wrong token gives %v", err)
	}
	e = hook(url)
	e.URL = url + "/services/removed"
	if _, err := target.Send(t.Context(), e, delivery(event(), "")); hub.KindOf(err) != hub.Invalid || !strings.Contains(err.Error(), "make a new one") {
		t.Errorf("a removed webhook gives %v", err)
	}
}

func TestMissingSettings(t *testing.T) {
	for name, e := range map[string]*hub.Endpoint{
		"nothing":    {Kind: hub.KindSlack},
		"no channel": {Kind: hub.KindSlack, Secrets: hub.EndpointSecrets{Tokens: map[string]string{"bot_token": "xoxb-1"}}},
	} {
		if _, err := newTarget(client()).Send(t.Context(), e, delivery(event(), "")); hub.KindOf(err) != hub.Invalid {
			t.Errorf("%s gives %v, want invalid", name, err)
		}
	}
}

func TestThrottled(t *testing.T) {
	s, url := simulated(t)
	s.SetLimits(sim.Limits{PerSecond: 0.1, Burst: 1})
	target := newTarget(client())
	for _, e := range []*hub.Endpoint{bot(url), hook(url)} {
		if _, err := target.Send(t.Context(), e, delivery(event(), "")); err != nil {
			t.Fatal(err)
		}
		_, err := target.Send(t.Context(), e, delivery(event(), ""))
		if e, ok := err.(*hub.Error); !ok || e.Kind != hub.RateLimited || e.RetryAfter < 5*time.Second {
			t.Errorf("gives %#v, want rate_limited with Retry-After", err)
		}
	}
}
