package rig

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"
)

// The vector that Standard Webhooks and Svix publish.
const (
	vectorSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorStamp  = "1614265330"
	vectorBody   = `{"test": 2432232314}`
	vectorSign   = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func TestVerify(t *testing.T) {
	v, err := newVerifier(vectorSecret)
	if err != nil {
		t.Fatal(err)
	}
	then := time.Unix(1614265330, 0)
	for _, c := range []struct {
		name, id, stamp, signature, body string
		now                              time.Time
		good                             bool
	}{
		{"as published", vectorID, vectorStamp, vectorSign, vectorBody, then, true},
		{"second of two", vectorID, vectorStamp, "v1,xxxx " + vectorSign, vectorBody, then, true},
		{"first of two", vectorID, vectorStamp, vectorSign + " v1a,xxxx", vectorBody, then, true},
		{"five minutes late", vectorID, vectorStamp, vectorSign, vectorBody, then.Add(300 * time.Second), true},
		{"later", vectorID, vectorStamp, vectorSign, vectorBody, then.Add(301 * time.Second), false},
		{"too early", vectorID, vectorStamp, vectorSign, vectorBody, then.Add(-301 * time.Second), false},
		{"another body", vectorID, vectorStamp, vectorSign, vectorBody + " ", then, false},
		{"another id", vectorID + "x", vectorStamp, vectorSign, vectorBody, then, false},
		{"another stamp", vectorID, "1614265331", vectorSign, vectorBody, then, false},
		{"nonsense stamp", vectorID, "now", vectorSign, vectorBody, then, false},
		{"something behind it", vectorID, vectorStamp, vectorSign + "x", vectorBody, then, false},
		{"cut short", vectorID, vectorStamp, vectorSign[:40], vectorBody, then, false},
		{"none", vectorID, vectorStamp, "", vectorBody, then, false},
	} {
		err := v.verify([]byte(c.id), []byte(c.stamp), []byte(c.signature), []byte(c.body), c.now)
		if (err == nil) != c.good {
			t.Errorf("%s: got %v, want good=%v", c.name, err, c.good)
		}
	}
	if _, err := newVerifier(base64.StdEncoding.EncodeToString([]byte("no prefix"))); err == nil {
		t.Error("a secret without whsec_ was taken")
	}
}

// A finding is JSON, and an event that names it gives its number back.
func TestFindings(t *testing.T) {
	f := Findings{Run: "a1", Pad: 10}
	for _, i := range []int{0, 7, 1_000_000} {
		one := f.Append(nil, i)
		var v struct {
			AssetID string `json:"asset_id"`
			Pad     string `json:"pad"`
		}
		if err := json.Unmarshal(one, &v); err != nil || v.AssetID != "rig-a1-"+strconv.Itoa(i) {
			t.Fatalf("finding %d is %s: %v", i, one, err)
		}
		if got := f.Index([]byte(`{"data":{"alert":` + string(one) + `}}`)); got != i {
			t.Errorf("the event about finding %d is taken for one about %d", i, got)
		}
	}
	var batch []any
	if err := json.Unmarshal(f.AppendBatch(nil, 3, 6), &batch); err != nil || len(batch) != 3 {
		t.Errorf("a batch of 3 holds %d: %v", len(batch), err)
	}
	for _, event := range []string{
		``, `{}`, `{"asset_id":"other"}`, `{"asset_id":"rig-a1"}`, `{"asset_id":"rig-a12-3"}`, `{"asset_id":"rig-b1-3"}`,
		`{"asset_id":"rig-a1-"}`, `{"asset_id":"rig-a1-x"}`, `{"asset_id":"rig-a1-3`, `{"asset_id":"rig-a1-99999999999999999999"}`,
	} {
		if got := f.Index([]byte(event)); got != -1 {
			t.Errorf("%s is taken for an event about finding %d", event, got)
		}
	}
}

// A load keeps to its number of posts and its rate, counts what comes back, and
// never repeats a post.
func TestLoad(t *testing.T) {
	var came atomic.Int64
	r, err := NewReceiver(func(Hook) Answer {
		switch n := came.Add(1); {
		case n%10 == 0:
			return Answer{Status: 503, RetryAfter: "1"}
		case n%10 == 5:
			return Answer{Cut: true}
		}
		return Answer{Status: 202}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var started, done atomic.Int64
	l := Load{
		URL: r.URL("/x"), Rate: 1000, Posts: 100, Callers: 4, Body: func(b []byte, i int) ([]byte, bool) { return append(b, '{', '}'), true },
		Started: func(int, time.Time) { started.Add(1) }, Done: func(int, int, []byte) { done.Add(1) },
	}
	s := l.Run(t.Context())
	if s.Posts != 100 || s.Good != 80 || s.Refused != 10 || s.Broken != 10 || s.Status != 503 {
		t.Errorf("got %+v; want 100 posts, 80 good, 10 refused with 503, 10 broken", s)
	}
	if came.Load() != 100 || started.Load() != 100 || done.Load() != 100 {
		t.Errorf("%d came, %d were told as started and %d as done; want 100", came.Load(), started.Load(), done.Load())
	}
	if s.Duration < 99*time.Millisecond {
		t.Errorf("100 posts at 1000/s took %v", s.Duration)
	}
}

func TestLoadEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := (&Load{URL: "http://127.0.0.1:1/", Rate: 1, Body: func(b []byte, _ int) ([]byte, bool) { return b, true }}).Run(ctx)
	if s.Good != 0 || s.Duration > 10*time.Second {
		t.Errorf("got %+v of a load that was over before it began", s)
	}
}

// A receiver refuses what is not signed as expected, and says why.
func TestReceiverRefuses(t *testing.T) {
	taken := 0
	r, err := NewReceiver(func(Hook) Answer { taken++; return Answer{Status: 204} })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Expect("/a", vectorSecret); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/a": 401, "/b": 204} {
		req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		req.SetRequestURI(r.URL(path))
		req.Header.SetMethod("POST")
		req.Header.Set("webhook-id", "msg_1")
		if err := fasthttp.Do(req, res); err != nil || res.StatusCode() != want {
			t.Errorf("%s answered %d, %v; want %d", path, res.StatusCode(), err, want)
		}
	}
	if r.Bad.Load() != 1 || taken != 1 || !strings.Contains(r.Reason(), "/a") {
		t.Errorf("%d bad, %d taken, reason %q", r.Bad.Load(), taken, r.Reason())
	}
}

func TestSumMetric(t *testing.T) {
	page := []byte("# HELP a_total x\n# TYPE a_total counter\na_total{state=\"x\"} 3\na_total{state=\"y\",k=\"v\"} 4.5\na_total_more 9\nb 1e3\n")
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{{"a_total", nil, 7.5}, {"a_total", []string{`state="y"`}, 4.5}, {"b", nil, 1000}, {"none", nil, 0}} {
		if got, err := sumMetric(page, c.name, c.labels); err != nil || got != c.want {
			t.Errorf("%s %v: got %v, %v; want %v", c.name, c.labels, got, err, c.want)
		}
	}
}
