package inbound

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/hub"
)

const (
	body   = `{"a":1}`
	newKey = "s3cret-new"
	oldKey = "s3cret-old"
)

var now = time.Unix(1_750_000_000, 0)

func sum(h func() hash.Hash, key, text string) []byte {
	m := hmac.New(h, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// A sender proves who it is with a key at a time.
type sender func(key string, at time.Time, body string) http.Header

var methods = []struct {
	name, config string
	send         sender
	signed       bool // the body
	timed        bool // the time
}{
	{"token", "{auth: token, secret: s3cret-new, old_secret: s3cret-old}", func(key string, _ time.Time, _ string) http.Header {
		return header("Authorization", "Bearer "+key)
	}, false, false},
	{"token in a header", "{auth: token, secret: s3cret-new, old_secret: s3cret-old, header: X-Api-Key}", func(key string, _ time.Time, _ string) http.Header {
		return header("X-Api-Key", key)
	}, false, false},
	{"basic", "{auth: basic, username: am, secret: s3cret-new, old_secret: s3cret-old}", func(key string, _ time.Time, _ string) http.Header {
		return header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("am:"+key)))
	}, false, false},
	{"hmac sha256 hex", "{auth: hmac, header: X-Sig, secret: s3cret-new, old_secret: s3cret-old}", func(key string, _ time.Time, b string) http.Header {
		return header("X-Sig", hex.EncodeToString(sum(sha256.New, key, b)))
	}, true, false},
	{"hmac sha512 base64 with a prefix", "{auth: hmac, header: X-Sig, secret: s3cret-new, old_secret: s3cret-old, signature: {algorithm: sha512, encoding: base64, prefix: 'sha512:'}}", func(key string, _ time.Time, b string) http.Header {
		return header("X-Sig", "sha512:"+base64.StdEncoding.EncodeToString(sum(sha512.New, key, b)))
	}, true, false},
	{"hmac base64url, several signatures", "{auth: hmac, header: X-Sig, secret: s3cret-new, old_secret: s3cret-old, signature: {encoding: base64url, prefix: v1=}}", func(key string, _ time.Time, b string) http.Header {
		return header("X-Sig", "v1="+strings.Repeat("A", 43)+", v1="+base64.RawURLEncoding.EncodeToString(sum(sha256.New, key, b)))
	}, true, false},
	{"hmac with a time", "{auth: hmac, header: X-Sig, secret: s3cret-new, old_secret: s3cret-old, signature: {prefix: v0=, content: 'v0:{timestamp}:{body}', timestamp_header: X-Time}}", func(key string, at time.Time, b string) http.Header {
		stamp := fmt.Sprint(at.Unix())
		return header("X-Time", stamp, "X-Sig", "v0="+hex.EncodeToString(sum(sha256.New, key, "v0:"+stamp+":"+b)))
	}, true, true},
	{"github", "{auth: github, secret: s3cret-new, old_secret: s3cret-old}", func(key string, _ time.Time, b string) http.Header {
		return header("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum(sha256.New, key, b)))
	}, true, false},
	{"timestamped", "{auth: timestamped, secret: s3cret-new, old_secret: s3cret-old}", func(key string, at time.Time, b string) http.Header {
		stamp := fmt.Sprint(at.Unix())
		return header("Stripe-Signature", "t="+stamp+",v0=00,v1="+strings.Repeat("0", 64)+",v1="+hex.EncodeToString(sum(sha256.New, key, stamp+"."+b)))
	}, true, true},
	{"timestamped in another header", "{auth: timestamped, header: X-Signature, secret: s3cret-new, old_secret: s3cret-old}", func(key string, at time.Time, b string) http.Header {
		stamp := fmt.Sprint(at.Unix())
		return header("X-Signature", "v1="+hex.EncodeToString(sum(sha256.New, key, stamp+"."+b))+",t="+stamp)
	}, true, true},
	{"standard webhooks", "{auth: standard_webhooks, secret: " + standardKey(newKey) + ", old_secret: " + standardKey(oldKey) + "}", standardSender("webhook-"), true, true},
	{"standard webhooks of svix", "{auth: standard_webhooks, secret: " + standardKey(newKey)[6:] + ", old_secret: " + standardKey(oldKey) + "}", standardSender("svix-"), true, true},
}

func standardRaw(key string) string { return strings.Repeat(key, 3) }

func standardKey(key string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(standardRaw(key)))
}

func standardSender(family string) sender {
	return func(key string, at time.Time, b string) http.Header {
		stamp := fmt.Sprint(at.Unix())
		mac := sum(sha256.New, standardRaw(key), "msg_1."+stamp+"."+b)
		return header(family+"id", "msg_1", family+"timestamp", stamp, family+"signature", "v1,AAAA v1,"+base64.StdEncoding.EncodeToString(mac))
	}
}

func open(t *testing.T, config string) *Guard {
	t.Helper()
	var a Auth
	d := yaml.NewDecoder(strings.NewReader(config))
	d.KnownFields(true)
	if err := d.Decode(&a); err != nil {
		t.Fatal(err)
	}
	g, err := a.Open()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestMethods(t *testing.T) {
	for _, m := range methods {
		t.Run(m.name, func(t *testing.T) {
			g := open(t, m.config)
			check := func(what string, h http.Header, b string, want hub.Kind) {
				t.Helper()
				if err := g.check(h, []byte(b), now); hub.KindOf(err) != want {
					t.Errorf("%s: %v, want kind %q", what, err, want)
				} else if err != nil && (strings.Contains(err.Error(), newKey) || strings.Contains(err.Error(), oldKey)) {
					t.Errorf("%s: the secret shows: %v", what, err)
				}
			}
			right := m.send(newKey, now, body)
			check("right", right, body, "")
			check("replayed at once", right, body, "") // harmless by the hub's deduplication
			check("old secret", m.send(oldKey, now, body), body, "")
			check("wrong secret", m.send("s3cret-neu", now, body), body, hub.Unauthorized)
			check("empty secret", m.send("", now, body), body, hub.Unauthorized)
			check("missing", http.Header{}, body, hub.Unauthorized)
			for name := range right {
				part := right.Clone()
				part.Del(name)
				check("without "+name, part, body, hub.Unauthorized)
				part.Set(name, right.Get(name)[:len(right.Get(name))/2])
				check("cut "+name, part, body, hub.Unauthorized)
				part.Set(name, right.Get(name)+"0")
				check("longer "+name, part, body, hub.Unauthorized)
			}
			bent := hub.Kind("")
			if m.signed {
				bent = hub.Unauthorized
			}
			check("other body", right, `{"a":2}`, bent)
			check("no body", right, "", bent)
			stale := hub.Kind("")
			if m.timed {
				stale = hub.Unauthorized
			}
			check("stale", m.send(newKey, now.Add(-301*time.Second), body), body, stale)
			check("from the future", m.send(newKey, now.Add(301*time.Second), body), body, stale)
			check("just in time", m.send(newKey, now.Add(-299*time.Second), body), body, "")
		})
	}
}

// TestPublishedVectors are examples that senders publish with their own
// description of what they send.
func TestPublishedVectors(t *testing.T) {
	slack := "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar" +
		"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F" +
		"commands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	for _, v := range []struct {
		name, config, body string
		header             http.Header
		at                 int64
	}{
		{
			"GitHub", `{auth: github, secret: "It's a Secret to Everybody"}`, "Hello, World!",
			header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), 0,
		},
		{
			"Standard Webhooks", "{auth: standard_webhooks, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}", `{"test": 2432232314}`,
			header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330",
				"webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), 1614265330,
		},
		{
			"Slack", "{auth: hmac, secret: 8f742231b10e8888abcd99yyyzzz85a5, header: X-Slack-Signature, signature: {prefix: v0=, content: 'v0:{timestamp}:{body}', timestamp_header: X-Slack-Request-Timestamp}}",
			slack, header("X-Slack-Request-Timestamp", "1531420618", "X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"), 1531420618,
		},
	} {
		g := open(t, v.config)
		if err := g.check(v.header, []byte(v.body), time.Unix(v.at, 0)); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		if g.check(v.header, []byte(v.body+" "), time.Unix(v.at, 0)) == nil {
			t.Errorf("%s: another body is taken", v.name)
		}
	}
}

func TestOddHeaders(t *testing.T) {
	token := "{auth: token, secret: s3cret-new}"
	splunk := func(t *testing.T) *Guard {
		a := Auth{Method: Token, Scheme: "Splunk"}
		_ = a.Secret.UnmarshalText([]byte(newKey))
		g, err := a.Open()
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	for _, c := range []struct {
		name  string
		guard *Guard
		value string
		ok    bool
	}{
		{"scheme in lower case", open(t, token), "bearer s3cret-new", true},
		{"two spaces", open(t, token), "Bearer  s3cret-new ", true},
		{"no scheme", open(t, token), "s3cret-new", false},
		{"another scheme", open(t, token), "Basic s3cret-new", false},
		{"scheme only", open(t, token), "Bearer", false},
		{"own scheme", splunk(t), "Splunk s3cret-new", true},
		{"not the own scheme", splunk(t), "Bearer s3cret-new", false},
		{"basic that is no base64", open(t, "{auth: basic, username: u, secret: p}"), "Basic !", false},
		{"basic without a colon", open(t, "{auth: basic, username: u, secret: p}"), "Basic dXA=", false},
		{"basic with a colon in the password", open(t, "{auth: basic, username: u, secret: 'p:q'}"), "Basic dTpwOnE=", true},
		{"wrong user", open(t, "{auth: basic, username: u, secret: p}"), "Basic djpw", false},
	} {
		if err := c.guard.Check(header("Authorization", c.value), nil); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok=%v", c.name, err, c.ok)
		}
	}
	g := open(t, "{auth: timestamped, secret: s3cret-new}")
	stamp := fmt.Sprint(now.Unix())
	mac := hex.EncodeToString(sum(sha256.New, newKey, stamp+"."+body))
	for name, value := range map[string]string{
		"two times": "t=" + stamp + ",t=" + stamp + ",v1=" + mac, "a time with a zero before it": "t=0" + stamp + ",v1=" + mac,
		"another name": "t=" + stamp + ",v2=" + mac, "no time": "v1=" + mac, "huge time": "t=9223372036854775807,v1=" + mac,
	} {
		if g.check(header("Stripe-Signature", value), []byte(body), now) == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if (&Guard{}).Check(http.Header{}, nil) == nil || (*Guard)(nil).Check(http.Header{}, nil) == nil {
		t.Error("the zero Guard lets through")
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{"{}", "auth: is required"},
		{"{auth: nobody}", `auth: "nobody" is none of`},
		{"{auth: none, secret: x}", "secret: is not looked at"},
		{"{auth: token}", "secret: is required with auth: token"},
		{"{auth: standard_webhooks}", "secret: is required"},
		{"{auth: standard_webhooks, secret: whsec_short}", "secret: the secret must"},
		{"{auth: basic, secret: x}", "username: is required"},
		{"{auth: hmac, secret: x}", "header: is required"},
		{"{auth: hmac, secret: x, header: X, signature: {algorithm: md5}}", "signature.algorithm"},
		{"{auth: hmac, secret: x, header: X, signature: {encoding: rot13}}", "signature.encoding"},
		{"{auth: hmac, secret: x, header: X, signature: {content: abc}}", "must hold {body} once"},
		{"{auth: hmac, secret: x, header: X, signature: {timestamp_header: T}}", "belong together"},
		{"{auth: hmac, secret: x, header: X, signature: {content: '{timestamp}{body}'}}", "belong together"},
		{"{auth: token, secret: x, username: y}", "username: belongs to auth: basic only"},
		{"{auth: token, secret: x, tolerance: 1m}", "tolerance: belongs to auth: hmac or timestamped only"},
		{"{auth: github, secret: x, signature: {prefix: y}}", "signature: belongs to auth: hmac only"},
		{"{auth: timestamped, secret: x, tolerance: -1m}", "must not be negative"},
		{"{auth: basic, header: X}", "secret: is required with auth: basic"},
	} {
		var a Auth
		if err := yaml.NewDecoder(bytes.NewReader([]byte(c.config))).Decode(&a); err != nil {
			t.Fatal(err)
		}
		if g, err := a.Open(); err == nil || g != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.config, err, c.want)
		}
	}
}
