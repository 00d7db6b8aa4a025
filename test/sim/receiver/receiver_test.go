package receiver

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestPublishedVectors checks the verifier with values that Standard Webhooks'
// own libraries use in their tests.
func TestPublishedVectors(t *testing.T) {
	const id, stamp, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`
	const v1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	const v1a = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
	pair, err := base64.StdEncoding.DecodeString("6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==")
	if err != nil {
		t.Fatal(err)
	}
	public := "whpk_" + base64.StdEncoding.EncodeToString(ed25519.PrivateKey(pair).Public().(ed25519.PublicKey))
	tests := []struct {
		name, secret, public, signatures, body, id string
		ok                                         bool
	}{
		{"v1", secret, "", v1, body, id, true},
		{"v1 and v1a", secret, public, v1 + " " + v1a, body, id, true},
		{"v1a first", secret, public, v1a + " " + v1, body, id, true},
		{"v1a alone", "", public, v1a, body, id, true},
		{"one of several", secret, "", "v1,AAAA " + v1, body, id, true},
		{"v1a missing", secret, public, v1, body, id, false},
		{"v1 missing", secret, public, v1a, body, id, false},
		{"two spaces", secret, "", v1 + "  " + v1, body, id, false},
		{"no comma", secret, "", "v1" + v1[3:], body, id, false},
		{"tampered body", secret, "", v1, body + " ", id, false},
		{"other id", secret, "", v1, body, "msg_2", false},
		{"dot in id", secret, "", v1, body, "msg.2", false},
		{"other key", "whsec_" + strings.Repeat("A", 32), "", v1, body, id, false},
	}
	for _, tt := range tests {
		e := Endpoint{PublicKey: tt.public}
		if tt.secret != "" {
			e.Secrets = []string{tt.secret}
		}
		v, err := newVerifier(e)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		h := http.Header{"Webhook-Id": {tt.id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {tt.signatures}}
		if fault := v.fault(h, []byte(tt.body), time.Unix(1614265340, 0)); (fault == "") != tt.ok {
			t.Errorf("%s: fault %q, want ok %v", tt.name, fault, tt.ok)
		}
	}
}

// signed makes a request as a sender would; edit spoils it.
func signed(id, body string, at time.Time, edit func(*http.Request)) *http.Request {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	stamp := strconv.FormatInt(at.Unix(), 10)
	r := httptest.NewRequest(http.MethodPost, "/a", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("webhook-id", id)
	r.Header.Set("webhook-timestamp", stamp)
	r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(sum(key, id+"."+stamp+"."+body)))
	r.Header.Set("X-CV-Signature", hex.EncodeToString(sum([]byte(secret), body)))
	r.Header.Set("X-Signature", "t="+stamp+",v1=00,v1="+hex.EncodeToString(sum([]byte(secret), stamp+"."+body)))
	if edit != nil {
		edit(r)
	}
	return r
}

func sum(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func kind(e Endpoint) *Sim {
	e.Path, e.Secrets = "/a", []string{secret}
	return New(Options{Options: unkind.Options{Kind: true}, Endpoints: []Endpoint{e}})
}

func send(s *Sim, r *http.Request) int {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

func TestViolations(t *testing.T) {
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	tests := []struct {
		name string
		edit func(*http.Request)
		want string // part of the violation, "" for none
	}{
		{"good", nil, ""},
		{"without the hex signature", header("X-CV-Signature", ""), "X-CV-Signature"},
		{"wrong hex signature", header("X-CV-Signature", strings.Repeat("0", 64)), "X-CV-Signature"},
		{"wrong timestamped signature", header("X-Signature", "t=1,v1=00"), "X-Signature"},
		{"no standard signature", header("webhook-signature", ""), "missing"},
		{"no id", header("webhook-id", ""), "missing"},
		{"old", header("webhook-timestamp", "1614265330"), "off by"},
		{"fractions", header("webhook-timestamp", "1614265330.0"), "integer"},
		{"no content type", header("Content-Type", ""), "Content-Type"},
		{"GET", func(r *http.Request) { r.Method = http.MethodGet }, "POST"},
	}
	for _, tt := range tests {
		s := kind(Endpoint{Hex: "X-CV-Signature", Stamped: "X-Signature"})
		status := send(s, signed("msg_1", `{"a":1}`, time.Now(), tt.edit))
		v := s.Violations()
		switch {
		case tt.want == "" && (len(v) > 0 || status != http.StatusNoContent || !s.Taken("/a", "msg_1")):
			t.Errorf("%s: status %d, violations %v; want it taken", tt.name, status, v)
		case tt.want != "" && (len(v) != 1 || !strings.Contains(v[0].Fault, tt.want) || s.Taken("/a", "msg_1")):
			t.Errorf("%s: status %d, violations %v; want one about %s", tt.name, status, v, tt.want)
		}
	}
}

func TestRepeats(t *testing.T) {
	s := kind(Endpoint{})
	for range 3 {
		send(s, signed("msg_1", `{"a":1}`, time.Now(), nil))
	}
	if c := s.Counts("/a"); c.Requests != 3 || c.Taken != 1 || c.Repeats != 2 || len(s.Violations()) > 0 {
		t.Errorf("three times the same: %+v, %v", c, s.Violations())
	}
	send(s, signed("msg_1", `{"a":2}`, time.Now(), nil))
	if v := s.Violations(); len(v) != 1 || !strings.Contains(v[0].Fault, "another body") {
		t.Errorf("violations %v, want one about another body", v)
	}
	if got := s.Missing("/a", []string{"msg_1", "msg_2"}); len(got) != 1 || got[0] != "msg_2" {
		t.Errorf("missing %v, want msg_2", got)
	}
}

// TestBehaviours checks the status of each trouble, and whether it took effect.
func TestBehaviours(t *testing.T) {
	tests := []struct {
		name   string
		b      Behaviour
		status int // 0: cut
		taken  bool
	}{
		{"throttle", Behaviour{Throttle: 1}, 429, false},
		{"cut before", Behaviour{CutBefore: 1}, 0, false},
		{"cut after", Behaviour{CutAfter: 1}, 0, true},
		{"hang", Behaviour{Hang: 1, HangMS: 1}, 504, false},
		{"redirect", Behaviour{Redirect: 1}, 302, false},
		{"gone", Behaviour{Gone: 1}, 410, false},
		{"own status", Behaviour{Status: 201}, 201, true},
	}
	for _, tt := range tests {
		s := kind(Endpoint{Behaviour: tt.b})
		status := func() (status int) {
			defer func() {
				if recover() != nil {
					status = 0
				}
			}()
			return send(s, signed("msg_1", `{}`, time.Now(), nil))
		}()
		if status != tt.status || s.Taken("/a", "msg_1") != tt.taken {
			t.Errorf("%s: status %d, taken %v; want %d, %v", tt.name, status, s.Taken("/a", "msg_1"), tt.status, tt.taken)
		}
	}
}

func TestSendersThatDoNotListen(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	o := Options{Options: unkind.Options{Kind: true, Now: func() time.Time { return now }}}
	o.Endpoints = []Endpoint{{Path: "/a", Secrets: []string{secret}, Behaviour: Behaviour{Throttle: 1, RetryAfter: 10}}}
	s := New(o)
	expect := func(step, want string) {
		t.Helper()
		v := s.Violations()
		if (want == "") != (len(v) == 0) || want != "" && !strings.Contains(v[len(v)-1].Fault, want) {
			t.Errorf("%s: violations %v, want %q", step, v, want)
		}
	}
	send(s, signed("msg_1", `{}`, now, nil))
	now = now.Add(10 * time.Second)
	send(s, signed("msg_1", `{}`, now, nil))
	expect("in time", "")
	now = now.Add(9 * time.Second)
	send(s, signed("msg_1", `{}`, now, nil))
	expect("early", "before Retry-After was over")

	_ = s.Put(Endpoint{Path: "/a", Secrets: []string{secret}, Behaviour: Behaviour{Gone: 1}})
	send(s, signed("msg_2", `{}`, now, nil))
	now = now.Add(time.Minute)
	send(s, signed("msg_3", `{}`, now, nil))
	expect("after 410", "came after 410")
	send(s, httptest.NewRequest(http.MethodPost, trap, nil))
	expect("redirect", "followed a redirect")
}

func BenchmarkReceive(b *testing.B) {
	s := kind(Endpoint{Behaviour: Rough})
	s.Put(Endpoint{Path: "/a", Secrets: []string{secret}})
	body := `{"a":"` + strings.Repeat("x", 1024) + `"}`
	r := signed("msg_1", body, time.Now(), nil)
	b.ReportAllocs()
	for b.Loop() {
		r.Body = readCloser{bytes.NewReader([]byte(body))}
		send(s, r)
	}
	if len(s.Violations()) > 0 {
		b.Fatal(s.Violations()[0])
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func Example() {
	s := New(Options{Options: unkind.Options{Kind: true}, Endpoints: []Endpoint{{Path: "/a", Secrets: []string{secret}}}})
	send(s, signed("msg_1", `{"type":"alert.created"}`, time.Now(), nil))
	fmt.Println(s.Counts("/a").Taken, len(s.Violations()))
	// Output: 1 0
}
