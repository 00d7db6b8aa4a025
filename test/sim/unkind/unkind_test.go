package unkind

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func voice() Voice {
	return Voice{
		Limit:     func(*http.Request) string { return "all" },
		Throttled: func(w http.ResponseWriter, s int) { w.Header().Set("Retry-After", "1"); w.WriteHeader(429) },
		Failed:    func(w http.ResponseWriter, status int) { w.WriteHeader(status) },
	}
}

// TestTrouble makes each trouble always, over a real connection, and checks
// what the caller sees and whether the request took effect.
func TestTrouble(t *testing.T) {
	tests := []struct {
		name    string
		knobs   Knobs
		seen    string // the caller's view: a status class, or cut
		effects bool   // some of 40 requests took effect
		without bool   // some did not
	}{
		{"kind", Knobs{}, "2", true, false},
		{"throttle", Knobs{Throttle: 1}, "4", false, true},
		{"fail", Knobs{Fail: 1}, "5", true, true},
		{"cut", Knobs{Cut: 1}, "cut", true, true},
		{"slow", Knobs{Slow: 1, SlowMS: 2}, "2", true, false},
	}
	for _, tt := range tests {
		s := New("test", Options{Seed: 1})
		s.Set(tt.knobs)
		effects := 0
		server := httptest.NewServer(s.Wrap(voice(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			effects++
			io.WriteString(w, strings.Repeat("whole ", 100))
		})))
		for range 40 {
			if got := ask(server.URL); got != tt.seen {
				t.Errorf("%s: the caller saw %s, want %s", tt.name, got, tt.seen)
			}
		}
		if (effects > 0) != tt.effects || (effects < 40) != tt.without {
			t.Errorf("%s: %d of 40 took effect", tt.name, effects)
		}
		if s.Requests() != 40 || len(s.History()) != 40 {
			t.Errorf("%s: history of %d", tt.name, len(s.History()))
		}
		server.Close()
	}
}

func ask(url string) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url + "/x")
	if err != nil {
		return "cut"
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err != nil {
		return "cut"
	}
	return res.Status[:1]
}

func TestSameSeedSameTrouble(t *testing.T) {
	run := func(seed uint64) string {
		s := New("test", Options{Seed: seed})
		h := s.Wrap(voice(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
		s.Set(Knobs{Throttle: 0.3, Fail: 0.3})
		var out strings.Builder
		for range 50 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			out.WriteString(http.StatusText(w.Code))
		}
		return out.String()
	}
	if first := run(1); run(1) != first || run(2) == first {
		t.Error("trouble does not follow the seed")
	}
}

func TestEarlyIsAViolation(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := New("test", Options{Kind: true, Now: func() time.Time { return now }})
	r := httptest.NewRequest("GET", "/x", nil)
	s.Told("key", 10*time.Second)
	now = now.Add(10*time.Second - grace)
	s.Early(r, "key")
	if s.Early(r, "other") > 0 || len(s.Violations()) > 0 {
		t.Errorf("in time, or another key: %v", s.Violations())
	}
	s.Told("key", 10*time.Second)
	now = now.Add(9 * time.Second)
	if left := s.Early(r, "key"); left != time.Second || len(s.Violations()) != 1 {
		t.Errorf("a second early: %v left, %v", left, s.Violations())
	}
}

func TestSteering(t *testing.T) {
	s := New("test", Options{})
	h := s.Wrap(voice(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Steer(w, r) }))
	call := func(method, path, body string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w.Body.String()
	}
	s.Violate(httptest.NewRequest("GET", "/x", nil), "wrong %d", 1)
	if got := call("GET", "/_sim/violations", ""); !strings.Contains(got, "wrong 1") {
		t.Errorf("violations %s", got)
	}
	var k Knobs
	if err := json.Unmarshal([]byte(call("PUT", "/_sim/knobs", `{"throttle": 0.5}`)), &k); err != nil || k.Throttle != 0.5 || k.Fail != usual.Fail {
		t.Errorf("knobs %+v, %v; want throttle changed only", k, err)
	}
	if got := call("PUT", "/_sim/knobs", `{"throtle": 0.5}`); !strings.Contains(got, "error") {
		t.Errorf("a misspelt knob: %s", got)
	}
	call("POST", "/_sim/forget", "")
	if len(s.Violations()) > 0 {
		t.Error("violations stay after forget")
	}
}
