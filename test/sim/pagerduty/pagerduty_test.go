package pagerduty

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

func fresh(o Options) (*Sim, *time.Time) {
	now := time.Unix(1_700_000_000, 0)
	o.Options = unkind.Options{Kind: true, Now: func() time.Time { return now }}
	return New(o), &now
}

func send(s *Sim, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v2/enqueue", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func event(action, key string) string {
	return fmt.Sprintf(`{"routing_key":%q,"event_action":%q,"dedup_key":%q,"payload":{"summary":"s","source":"a","severity":"critical"}}`,
		DefaultRoutingKey, action, key)
}

func TestFields(t *testing.T) {
	good := event("trigger", "k")
	swap := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	tests := []struct {
		name, body string
		status     int
		want       string
	}{
		{"good", good, 202, `"dedup_key":"k"`},
		{"no dedup key", swap(`"dedup_key":"k",`, ""), 202, `"dedup_key":"srv01`},
		{"summary of 1024", swap(`"s"`, `"`+strings.Repeat("é", 1024)+`"`), 202, "success"},
		{"summary of 1025", swap(`"s"`, `"`+strings.Repeat("x", 1025)+`"`), 400, "1024"},
		{"no summary", swap(`"summary":"s",`, ""), 400, "'payload.summary' is missing or blank"},
		{"no source", swap(`"source":"a",`, ""), 400, "payload.source"},
		{"severity high", swap("critical", "high"), 400, "payload.severity"},
		{"dedup key of 255", swap(`"k"`, `"`+strings.Repeat("x", 255)+`"`), 202, "success"},
		{"dedup key of 256", swap(`"k"`, `"`+strings.Repeat("x", 256)+`"`), 400, "dedup_key"},
		{"short routing key", swap(DefaultRoutingKey, "abc"), 400, "routing_key"},
		{"unknown routing key", swap(DefaultRoutingKey, strings.Repeat("0", 32)), 400, "Invalid routing key"},
		{"unknown action", swap("trigger", "open"), 400, "event_action"},
		{"resolve without key", `{"routing_key":"` + DefaultRoutingKey + `","event_action":"resolve"}`, 400, "dedup_key"},
		{"trigger without payload", `{"routing_key":"` + DefaultRoutingKey + `","event_action":"trigger"}`, 400, "payload"},
		{"unknown field", swap(`"event_action"`, `"prio":1,"event_action"`), 400, "prio"},
		{"image over http", swap(`"event_action"`, `"images":[{"src":"http://a/b.png"}],"event_action"`), 400, "images[0]"},
		{"link", swap(`"event_action"`, `"links":[{"href":"https://a/b","text":"t"}],"event_action"`), 202, "success"},
		{"time", swap(`"source"`, `"timestamp":"yesterday","source"`), 400, "timestamp"},
		{"time as in the document", swap(`"source"`, `"timestamp":"2015-07-17T08:42:58.315+0000","source"`), 202, "success"},
		{"routing key with a dash", swap(DefaultRoutingKey, strings.Repeat("a", 31)+"-"), 400, "routing_key"},
		{"blank summary", swap(`"s"`, `"  "`), 400, "payload.summary"},
		{"unknown field in the payload", swap(`"source"`, `"priority":"P1","source"`), 400, "payload.priority"},
		{"details as text", swap(`"source"`, `"custom_details":"x","source"`), 400, "custom_details"},
		{"component that is no text", swap(`"source"`, `"component":1,"source"`), 400, "malformed"},
		{"link without address", swap(`"event_action"`, `"links":[{"text":"t"}],"event_action"`), 400, "links[0].href"},
		{"link with more", swap(`"event_action"`, `"links":[{"href":"https://a","title":"t"}],"event_action"`), 400, "links[0].title"},
		{"image", swap(`"event_action"`, `"images":[{"src":"https://a/b.png","href":"https://a","alt":"t"}],"event_action"`), 202, "success"},
		{"image with a bad link", swap(`"event_action"`, `"images":[{"src":"https://a/b.png","href":"a"}],"event_action"`), 400, "images[0].href"},
		{"512 KB of bytes, fewer characters", swap(`"source"`, `"custom_details":{"a":"`+strings.Repeat("é", 300<<10)+`"},"source"`), 400, "512 KB"},
		{"no JSON", "{", 400, "malformed"},
		{"512 KB", swap(`"source"`, `"custom_details":{"a":"`+strings.Repeat("x", 512<<10)+`"},"source"`), 400, "512 KB"},
	}
	for _, tt := range tests {
		s, _ := fresh(Options{})
		w := send(s, tt.body)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s; want %d, %s", tt.name, w.Code, w.Body, tt.status, tt.want)
		}
		if bad := tt.status == 400 && tt.name != "unknown routing key"; (len(s.Violations()) > 0) != bad {
			t.Errorf("%s: violations %v", tt.name, s.Violations())
		}
	}
}

func TestIncidents(t *testing.T) {
	s, _ := fresh(Options{})
	for _, e := range []string{
		event("resolve", "a"), // nothing open: dropped
		event("trigger", "a"), event("trigger", "a"), event("acknowledge", "a"), event("resolve", "a"),
		event("acknowledge", "a"), // dropped
		event("trigger", "a"),     // a new one
		event("trigger", "b"),
	} {
		if w := send(s, e); w.Code != 202 {
			t.Fatalf("%s: %d %s", e, w.Code, w.Body)
		}
	}
	var got []string
	for _, i := range s.Incidents() {
		got = append(got, fmt.Sprintf("%s %s %d", i.DedupKey, i.Status, i.Triggers))
	}
	if want := "a resolved 2, a triggered 1, b triggered 1"; strings.Join(got, ", ") != want || len(s.Dropped()) != 2 {
		t.Errorf("incidents %v, dropped %d; want %s and 2", got, len(s.Dropped()), want)
	}
}

// TestSlidingMinute: what is above the limit is not taken, and the minute
// slides.
func TestSlidingMinute(t *testing.T) {
	s, now := fresh(Options{RetryAfter: true})
	for i := range 120 {
		*now = now.Add(100 * time.Millisecond) // the last one 12 s in
		if w := send(s, event("trigger", fmt.Sprint(i))); w.Code != 202 {
			t.Fatalf("event %d: %d", i, w.Code)
		}
	}
	w := send(s, event("trigger", "x"))
	if w.Code != 429 || w.Header().Get("Retry-After") != "49" || len(s.Incidents()) != 120 {
		t.Errorf("above the limit: %d, Retry-After %q, %d incidents", w.Code, w.Header().Get("Retry-After"), len(s.Incidents()))
	}
	*now = now.Add(40 * time.Second)
	if send(s, event("trigger", "x")); len(s.Violations()) != 1 {
		t.Errorf("too early: %v", s.Violations())
	}
	*now = now.Add(9 * time.Second)
	if w := send(s, event("trigger", "x")); w.Code != 202 || len(s.Violations()) != 1 {
		t.Errorf("in time: %d, %v", w.Code, s.Violations())
	}
}

func TestWebhook(t *testing.T) {
	s, _ := fresh(Options{})
	send(s, event("trigger", "a"))
	var ids []string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var in struct {
			Event struct {
				Type string `json:"event_type"`
				Data struct {
					Key string `json:"incident_key"`
				}
			}
		}
		if json.Unmarshal(body, &in) != nil || in.Event.Type != "incident.acknowledged" || in.Event.Data.Key != "a" ||
			r.Header.Get("X-PagerDuty-Signature") != Sign("sec", body) {
			t.Errorf("webhook %s", body)
		}
		ids = append(ids, r.Header.Get("X-Webhook-Id"))
	}))
	defer app.Close()
	h := Hook{DedupKey: "a", Event: "incident.acknowledged", URL: app.URL, Secret: "sec"}
	if status, err := s.Fire(t.Context(), app.Client(), h); err != nil || status != 200 || s.Incidents()[0].Status != "acknowledged" {
		t.Fatalf("fire: %d, %v, %s", status, err, s.Incidents()[0].Status)
	}
	h.ID = ids[0]
	if _, err := s.Fire(t.Context(), app.Client(), h); err != nil || ids[1] != ids[0] {
		t.Errorf("repeated as %v, %v", ids, err)
	}
	h.DedupKey = "b"
	if _, err := s.Fire(t.Context(), app.Client(), h); err == nil {
		t.Error("fired for an incident that is not there")
	}
}
