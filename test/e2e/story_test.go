package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// An event is what a webhook brings.
type event struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Sequence int64  `json:"sequence"`
	Data     struct {
		Alert struct {
			ID         string `json:"id"`
			Status     string `json:"status"`
			Severity   string `json:"severity"`
			Generation int    `json:"generation"`
			AssetID    string `json:"asset_id"`
		} `json:"alert"`
		Endpoint struct {
			ID     string `json:"id"`
			Reason string `json:"reason"`
		} `json:"endpoint"`
		Reason  string           `json:"reason"`
		Changes map[string][]any `json:"changes"`
	} `json:"data"`
}

func decode(t *testing.T, l letter) event {
	t.Helper()
	var e event
	if err := json.Unmarshal(l.body, &e); err != nil {
		t.Fatalf("a webhook's body: %v: %s", err, l.body)
	}
	return e
}

func types(t *testing.T, letters []letter) []string {
	t.Helper()
	var out []string
	for _, l := range letters {
		out = append(out, decode(t, l).Type)
	}
	return out
}

// An observation is a finding in a story: minute gives its event time.
type observation struct {
	key, severity, status string
	minute                int
}

type outcome struct {
	ID      string `json:"id"`
	AlertID string `json:"alert_id"`
	Outcome string `json:"outcome"`
}

// observe sends an observation and waits for its triage.
func observe(t *testing.T, h *rig.Hub, o observation) outcome {
	t.Helper()
	body := map[string]any{
		"type": "malware", "asset_id": "host-" + o.key, "severity": o.severity, "title": "Malware on a host", "source": "story", "source_id": o.key,
		"observed_at": time.Date(2026, 11, 22, 10, o.minute, 0, 0, time.UTC).Format(time.RFC3339),
	}
	if o.status != "" {
		body["status"] = o.status
	}
	var got outcome
	if err := h.Post(t.Context(), "/findings?wait=true", body, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func expect(t *testing.T, h *rig.Hub, o observation, want string) outcome {
	t.Helper()
	got := observe(t, h, o)
	if got.Outcome != want {
		t.Fatalf("%+v: got the outcome %q, want %q", o, got.Outcome, want)
	}
	return got
}

type alert struct {
	ID         string `json:"id"`
	Status     string `json:"status"`
	Severity   string `json:"severity"`
	Count      int    `json:"count"`
	Duplicates int    `json:"duplicates"`
	Generation int    `json:"generation"`
}

func getAlert(t *testing.T, h *rig.Hub, id string) alert {
	t.Helper()
	var a alert
	if err := h.Get(t.Context(), "/alerts/"+id, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// An acknowledged alert is quiet until its severity rises; it is resolved by
// its source, and comes back as the same alert in its next generation.
func TestLifeOfAlert(t *testing.T) {
	h, in := running(t), newInbox(t, rig.Findings{}, true)
	if _, err := h.Webhook(t.Context(), in.Receiver, "/life", map[string]any{"events": []string{"alert.*"}, "ordering": "key"}); err != nil {
		t.Fatal(err)
	}
	first := expect(t, h, observation{"l", "medium", "", 0}, "created")
	in.await(t, "/life", 1)
	expect(t, h, observation{"l", "medium", "", 1}, "merged")
	if err := h.Post(t.Context(), "/alerts/"+first.AlertID+"/acknowledge", map[string]any{"note": "looking"}, nil); err != nil {
		t.Fatal(err)
	}
	if a := getAlert(t, h, first.AlertID); a.Status != "investigating" || a.Count != 2 {
		t.Errorf("after the acknowledgement got %+v; want investigating, count 2", a)
	}
	// Quiet: none of these is told of. The next one that is told shows it.
	for minute := 2; minute < 6; minute++ {
		expect(t, h, observation{"l", "medium", "", minute}, "merged")
	}
	expect(t, h, observation{"l", "critical", "", 6}, "merged")
	if a := getAlert(t, h, first.AlertID); a.Status != "open" || a.Severity != "critical" {
		t.Errorf("after the severity rose got %+v; want open and critical", a)
	}
	expect(t, h, observation{"l", "critical", "resolved", 7}, "resolved")
	again := expect(t, h, observation{"l", "high", "", 8}, "reopened")
	if a := getAlert(t, h, first.AlertID); again.AlertID != first.AlertID || a.Generation != 2 || a.Status != "open" {
		t.Errorf("reopened as %s %+v; want the same id %s, generation 2, open", again.AlertID, a, first.AlertID)
	}
	in.wait(t, "/life", "alert.reopened", func(b *box) bool {
		return strings.Contains(string(b.letters[len(b.letters)-1].body), `"alert.reopened"`)
	})
	var letters []letter
	in.look("/life", func(b *box) { letters = slices.Clone(b.letters) })
	got := types(t, letters)
	got = slices.DeleteFunc(got, func(s string) bool { return s == "alert.acknowledged" })
	// A merge that changes nothing but counters may be told of or not before the acknowledgement.
	if len(got) > 1 && got[1] == "alert.updated" && decode(t, letters[1]).Data.Alert.Severity == "medium" {
		got = slices.Delete(got, 1, 2)
	}
	if want := []string{"alert.created", "alert.updated", "alert.resolved", "alert.reopened"}; !slices.Equal(got, want) {
		t.Errorf("told of %v; want %v", got, want)
	}
	stop(t, h)
	verified(t, h)
}

// What ?wait=true tells is what happened.
func TestOutcomes(t *testing.T) {
	h := running(t)
	first := expect(t, h, observation{"o", "high", "", 10}, "created")
	expect(t, h, observation{"o", "high", "", 10}, "duplicate")
	expect(t, h, observation{"o", "high", "", 12}, "merged")
	expect(t, h, observation{"o", "low", "", 5}, "late")
	expect(t, h, observation{"o", "high", "resolved", 13}, "resolved")
	expect(t, h, observation{"o", "high", "", 12}, "duplicate")
	expect(t, h, observation{"o", "high", "", 14}, "reopened")
	a := getAlert(t, h, first.AlertID)
	if a.Severity != "high" || a.Duplicates != 2 || a.Generation != 2 {
		t.Errorf("got %+v; want high, 2 duplicates, generation 2", a)
	}
}

// Events for a disabled endpoint are held and listed, and arrive in order when
// it is enabled.
func TestHeldWhileDisabled(t *testing.T) {
	h, in := running(t), newInbox(t, rig.Findings{}, true)
	e, err := h.Webhook(t.Context(), in.Receiver, "/held", map[string]any{"enabled": false, "ordering": "key", "events": []string{"alert.*"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, severity := range []string{"info", "low", "medium", "high", "critical"} {
		observe(t, h, observation{"h", severity, "", i})
	}
	var list struct {
		Data []delivery `json:"data"`
	}
	if err := h.Get(t.Context(), "/webhooks/"+e.ID+"/deliveries?state=held", &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Data) != 5 {
		t.Errorf("%d deliveries are held, want 5: %+v", len(list.Data), list.Data)
	}
	if err := h.Patch(t.Context(), "/webhooks/"+e.ID, map[string]any{"enabled": true}, nil); err != nil {
		t.Fatal(err)
	}
	var severities []string
	for _, l := range in.await(t, "/held", 5) {
		severities = append(severities, decode(t, l).Data.Alert.Severity)
	}
	if want := []string{"info", "low", "medium", "high", "critical"}; !slices.Equal(severities, want) {
		t.Errorf("came in the order %v, want %v", severities, want)
	}
}

type delivery struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	Log      []struct {
		Number  int    `json:"number"`
		Status  int    `json:"status"`
		Verdict string `json:"verdict"`
		Digest  string `json:"request_digest"`
	} `json:"attempt_log"`
}

// onlyDelivery waits until the one delivery to an endpoint is as wanted.
func onlyDelivery(t *testing.T, h *rig.Hub, endpoint, state string) delivery {
	t.Helper()
	var list struct {
		Data []delivery `json:"data"`
	}
	eventually(t, "delivery "+state, timeLong, func() bool {
		if err := h.Get(t.Context(), "/webhooks/"+endpoint+"/deliveries", &list); err != nil {
			t.Fatal(err)
		}
		return len(list.Data) == 1 && list.Data[0].State == state
	})
	var d delivery
	if err := h.Get(t.Context(), "/deliveries/"+list.Data[0].ID, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// A delivery that fails is tried again after the waits of its endpoint.
func TestRetriesAsScheduled(t *testing.T) {
	h, in := running(t), newInbox(t, rig.Findings{}, true)
	in.answer = func(_ string, n int) rig.Answer {
		if n < 3 {
			return rig.Answer{Status: 500}
		}
		return rig.Answer{Status: 200}
	}
	e, err := h.Webhook(t.Context(), in.Receiver, "/retry", map[string]any{"retry": map[string]any{"schedule": []string{"1s", "1s"}, "jitter": 0}, "events": []string{"alert.created"}})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, h, observation{"r", "high", "", 0}, "created")
	letters := in.await(t, "/retry", 3)
	for i := 1; i < len(letters); i++ {
		if gap := time.Duration(letters[i].at - letters[i-1].at); gap < time.Second || gap > 5*time.Second {
			t.Errorf("attempt %d came %v after the one before, want 1 s", i+1, gap)
		}
		if letters[i].id != letters[0].id || string(letters[i].body) != string(letters[0].body) {
			t.Errorf("attempt %d has another webhook-id or body", i+1)
		}
	}
	d := onlyDelivery(t, h, e.ID, "succeeded")
	var log []string
	for _, a := range d.Log {
		log = append(log, fmt.Sprint(a.Number, " ", a.Status))
	}
	if want := []string{"1 500", "2 500", "3 200"}; !slices.Equal(log, want) || d.Attempts != 3 {
		t.Errorf("%d attempts, log %v; want %v", d.Attempts, log, want)
	}
}

// 410 disables an endpoint, and the others are told.
func TestGoneDisables(t *testing.T) {
	h, in := running(t), newInbox(t, rig.Findings{}, true)
	in.answer = func(path string, _ int) rig.Answer {
		if path == "/gone" {
			return rig.Answer{Status: 410}
		}
		return rig.Answer{Status: 204}
	}
	e, err := h.Webhook(t.Context(), in.Receiver, "/gone", map[string]any{"events": []string{"alert.created"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Webhook(t.Context(), in.Receiver, "/told", map[string]any{"events": []string{"endpoint.*"}}); err != nil {
		t.Fatal(err)
	}
	expect(t, h, observation{"g", "high", "", 0}, "created")
	told := decode(t, in.await(t, "/told", 1)[0])
	if told.Type != "endpoint.disabled" || told.Data.Endpoint.ID != e.ID {
		t.Errorf("told of %s %+v; want endpoint.disabled of %s", told.Type, told.Data.Endpoint, e.ID)
	}
	var shown struct {
		Enabled bool   `json:"enabled"`
		Reason  string `json:"disabled_reason"`
	}
	if err := h.Get(t.Context(), "/webhooks/"+e.ID, &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Enabled || !strings.Contains(shown.Reason, "410") {
		t.Errorf("after 410 got %+v; want disabled, with 410 as the reason", shown)
	}
	if n := len(in.await(t, "/gone", 1)); n != 1 {
		t.Errorf("the endpoint that is gone was asked %d times, want once", n)
	}
}

// Retry-After is the least wait, whatever the schedule says.
func TestRetryAfterIsHonoured(t *testing.T) {
	h, in := running(t), newInbox(t, rig.Findings{}, true)
	in.answer = func(_ string, n int) rig.Answer {
		if n == 1 {
			return rig.Answer{Status: 429, RetryAfter: "2"}
		}
		return rig.Answer{Status: 204}
	}
	if _, err := h.Webhook(t.Context(), in.Receiver, "/later", map[string]any{"retry": map[string]any{"schedule": []string{"100ms", "100ms"}, "jitter": 0}, "events": []string{"alert.created"}}); err != nil {
		t.Fatal(err)
	}
	expect(t, h, observation{"a", "high", "", 0}, "created")
	letters := in.await(t, "/later", 2)
	if gap := time.Duration(letters[1].at - letters[0].at); gap < 2*time.Second || gap > 6*time.Second {
		t.Errorf("asked again after %v, want 2 s", gap)
	}
}

// Addresses that are nobody's business are refused when an endpoint is made,
// and the reason has a name. Loopback alone is opened, by the allow-list.
func TestForbiddenTargets(t *testing.T) {
	h := running(t)
	for _, url := range []string{
		"http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://10.0.0.1/", "http://192.168.1.1:8080/x", "http://[::1]/", "http://[::ffff:10.0.0.1]/",
		"http://[64:ff9b::a9fe:a9fe]/", "http://0.0.0.0/", "http://2852039166/", "http://0xa9fea9fe/", "http://user@169.254.169.254/", "ftp://127.0.0.1/", "file:///etc/passwd",
	} {
		r, err := h.Call(t.Context(), http.MethodPost, "/api/v1/webhooks", map[string]any{"url": url})
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: got %d: %s; want 422", url, r.Status, r.Body)
			continue
		}
		checkProblem(t, r, "/api/v1/webhooks", "/url")
	}
	r, err := h.Call(t.Context(), http.MethodPost, "/api/v1/webhooks", map[string]any{"url": "http://169.254.169.254/latest"})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(r.Body); !strings.Contains(text, "metadata") && !strings.Contains(text, "link-local") && !strings.Contains(text, "link_local") {
		t.Errorf("the refusal of a metadata address names no reason: %s", text)
	}
}

// While a rotated secret has its grace, both it and the new one sign.
func TestRotateSecret(t *testing.T) {
	h, in := running(t), newInbox(t, rig.Findings{}, true)
	e, err := h.Webhook(t.Context(), in.Receiver, "/turn", map[string]any{"events": []string{"alert.created"}})
	if err != nil {
		t.Fatal(err)
	}
	var fresh struct {
		Secret string `json:"secret"`
	}
	if err := h.Post(t.Context(), "/webhooks/"+e.ID+"/rotate-secret", map[string]any{"grace": "1h"}, &fresh); err != nil {
		t.Fatal(err)
	}
	if fresh.Secret == e.Secret || !strings.HasPrefix(fresh.Secret, "whsec_") {
		t.Fatalf("rotated %q to %q", e.Secret, fresh.Secret)
	}
	expect(t, h, observation{"s1", "high", "", 0}, "created") // verified by the old secret
	in.await(t, "/turn", 1)
	if err := in.Expect("/turn", fresh.Secret); err != nil {
		t.Fatal(err)
	}
	expect(t, h, observation{"s2", "high", "", 0}, "created")
	letters := in.await(t, "/turn", 2)
	if entries := strings.Split(letters[1].header["webhook-signature"], " "); len(entries) != 2 {
		t.Errorf("in the grace there are %d signatures, want 2: %q", len(entries), entries)
	}
	if err := h.Post(t.Context(), "/webhooks/"+e.ID+"/rotate-secret", map[string]any{"grace": "0s"}, &fresh); err != nil {
		t.Fatal(err)
	}
	if err := in.Expect("/turn", fresh.Secret); err != nil {
		t.Fatal(err)
	}
	expect(t, h, observation{"s3", "high", "", 0}, "created")
	letters = in.await(t, "/turn", 3)
	if entries := strings.Split(letters[2].header["webhook-signature"], " "); len(entries) != 1 {
		t.Errorf("without grace there are %d signatures, want 1: %q", len(entries), entries)
	}
}
