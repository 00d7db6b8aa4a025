package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
)

const pushSecret = "s3cret-of-a-sender-1"

func macOf(key, text string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// A scheme is a way in which senders prove who they are.
type scheme struct {
	name, config string
	body         func(name string) string // of one finding; nil: Falco's
	sign         func(key, body string, at time.Time) http.Header
	timed        bool
}

func one(name, value string) http.Header { return http.Header{name: {value}} }

func schemes() []scheme {
	hexed := func(header, prefix string) func(key, body string, _ time.Time) http.Header {
		return func(key, body string, _ time.Time) http.Header {
			return one(header, prefix+hex.EncodeToString(macOf(key, body)))
		}
	}
	standard := "whsec_" + base64.StdEncoding.EncodeToString([]byte(pushSecret+pushSecret))
	return []scheme{
		{name: "vault", config: "kind: cybervault, base_url: 'http://127.0.0.1:1/v2', token: x, paused: true, webhook_secret: " + pushSecret, sign: hexed("X-Cv-Signature", ""), body: func(string) string {
			return `{"id":"evt_1","type":"alert.created","created_at":"2026-03-01T12:00:00Z","data":{"id":"alt_1","severity":"high","type":"xss","asset_id":"srv_1","created_at":"2026-03-01T12:00:00Z","status":"open"}}`
		}},
		{name: "echelon", config: "kind: echelongraph, base_url: 'http://127.0.0.1:1/v1', email: a@example.com, password: x, events: false, paused: true, webhook_secret: " + pushSecret, sign: hexed("X-Echelongraph-Signature", ""), body: func(string) string {
			return `{"id":"evt_1","type":"alert.created","created_at":"2026-03-01T12:00:00Z","data":{"id":"a1","severity":"high","status":"open","category":"network","asset_id":"srv_1","title":"x","created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z"}}`
		}},
		{name: "plain-hmac", config: "kind: falco, auth: hmac, header: X-Sig, secret: " + pushSecret, sign: hexed("X-Sig", "")},
		{name: "github", config: "kind: falco, auth: github, secret: " + pushSecret, sign: hexed("X-Hub-Signature-256", "sha256=")},
		{name: "timestamped", config: "kind: falco, auth: timestamped, secret: " + pushSecret, timed: true, sign: func(key, body string, at time.Time) http.Header {
			stamp := fmt.Sprint(at.Unix())
			return one("Stripe-Signature", "t="+stamp+",v1="+hex.EncodeToString(macOf(key, stamp+"."+body)))
		}},
		{name: "standard", config: "kind: falco, auth: standard_webhooks, secret: " + standard, timed: true, sign: func(key, body string, at time.Time) http.Header {
			stamp := fmt.Sprint(at.Unix())
			mac := base64.StdEncoding.EncodeToString(macOf(key+key, "msg_1."+stamp+"."+body))
			return http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {"v1," + mac}}
		}},
		{name: "token", config: "kind: falco, auth: token, secret: " + pushSecret, sign: func(key, _ string, _ time.Time) http.Header {
			return one("Authorization", "Bearer "+key)
		}},
		{name: "basic", config: "kind: falco, auth: basic, username: u, secret: " + pushSecret, sign: func(key, _ string, _ time.Time) http.Header {
			return one("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("u:"+key)))
		}},
	}
}

// push sends body to a source with the header.
func (r *running) push(name, body string, h http.Header) (int, string) {
	r.t.Helper()
	pairs := []string{"Authorization", ""}
	for k := range h {
		pairs = append(pairs, k, h.Get(k))
	}
	return r.do("POST", "/api/v1/ingest/"+name, "", body, pairs...)
}

// Each inbound scheme with right, wrong, missing, stale and replayed credentials,
// over the whole way: what is replayed changes nothing, and what is refused leaves
// nothing.
func TestWhoMaySend(t *testing.T) {
	var yaml strings.Builder
	yaml.WriteString("connectors:\n")
	for _, s := range schemes() {
		fmt.Fprintf(&yaml, "  - {name: %s, %s}\n", s.name, s.config)
	}
	r := start(t, load(t, t.TempDir(), yaml.String()), withKey)
	for _, s := range schemes() {
		body := fmt.Sprintf(`{"uuid":"%[1]s","output":"x","priority":"Critical","rule":"%[1]s","time":"2026-03-01T12:00:00Z","output_fields":{}}`, s.name)
		if s.body != nil {
			body = s.body(s.name)
		}
		now := time.Now()
		right, stale := s.sign(pushSecret, body, now), 202
		if s.timed {
			stale = 401
		}
		for _, c := range []struct {
			what   string
			header http.Header
			status int
		}{
			{"missing", http.Header{}, 401},
			{"wrong", s.sign("s3cret-of-a-sender-2", body, now), 401},
			{"stale", s.sign(pushSecret, body, now.Add(-10*time.Minute)), stale},
			{"right", right, 202},
			{"replayed", right, 202},
		} {
			if status, answer := r.push(s.name, body, c.header); status != c.status || strings.Contains(answer, pushSecret) {
				t.Errorf("%s, %s: answered %d %s, want %d", s.name, c.what, status, answer, c.status)
			}
		}
		taken := map[int]int{401: 2, 202: 3}[stale]
		var found []api.FindingView
		r.eventually("triage of "+s.name, func() bool {
			found = call[assetPage[api.FindingView]](r, "GET", "/api/v1/findings?source="+s.name, "", 200).Data
			return len(found) == taken
		})
		outcomes := map[hub.Outcome]int{}
		for _, f := range found {
			outcomes[f.Outcome]++
		}
		if outcomes[hub.OutcomeCreated] != 1 || outcomes[hub.OutcomeDuplicate] != taken-1 {
			t.Errorf("%s: what was replayed did %v", s.name, outcomes)
		}
	}
	if status, answer := r.push("token", strings.Repeat(" ", 6<<20), one("Authorization", "Bearer "+pushSecret)); status != 413 || !strings.Contains(answer, "send it in parts") {
		t.Errorf("a body above the limit is answered %d %s", status, answer)
	}
}

// eventually waits until ok.
func (r *running) eventually(what string, ok func() bool) {
	r.t.Helper()
	end, look := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-end:
			r.t.Fatalf("it never came to this: %s", what)
		}
	}
}
