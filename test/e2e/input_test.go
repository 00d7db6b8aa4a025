package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
)

const goodFinding = `{"type":"xss","asset_id":"web-1","severity":"high","title":"t"}`

// A problem is an error's body.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Instance  string `json:"instance"`
	Error     string `json:"error"`
	RequestID string `json:"request_id"`
	Errors    []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

type badInput struct {
	name, method, path, body string
	header                   []string // pairs
	status                   int
	pointer                  string // for 422: one of the errors' pointers
}

var badInputs = []badInput{
	{name: "wrong type", path: "/findings", body: `{"type":7,"asset_id":"a","severity":"high"}`, status: 422, pointer: "/type"},
	{name: "unknown severity", path: "/findings", body: `{"type":"xss","asset_id":"a","severity":"dire"}`, status: 422, pointer: "/severity"},
	{name: "unknown type", path: "/findings", body: `{"type":"weather","asset_id":"a","severity":"high"}`, status: 422, pointer: "/type"},
	{name: "no asset", path: "/findings", body: `{"type":"xss","severity":"high"}`, status: 422, pointer: "/asset_id"},
	{name: "payload is no object", path: "/findings", body: `{"type":"xss","asset_id":"a","severity":"high","payload":[1]}`, status: 422, pointer: "/payload"},
	{name: "risk out of range", path: "/findings", body: `{"type":"xss","asset_id":"a","severity":"high","risk_score":101}`, status: 422, pointer: "/risk_score"},
	{name: "no time", path: "/findings", body: `{"type":"xss","asset_id":"a","severity":"high","observed_at":"yesterday"}`, status: 422, pointer: "/observed_at"},
	{name: "broken JSON", path: "/findings", body: `{"type":"xss",`, status: 400},
	{name: "nothing", path: "/findings", body: ``, status: 400},
	{name: "two values", path: "/findings", body: goodFinding + goodFinding, status: 400},
	{name: "a name twice", path: "/findings", body: `{"type":"xss","type":"iam","asset_id":"a","severity":"high"}`, status: 400},
	{name: "invalid UTF-8", path: "/findings", body: "{\"type\":\"xss\",\"asset_id\":\"a\xff\",\"severity\":\"high\"}", status: 400},
	{name: "10,000 deep", path: "/findings", body: `{"type":"xss","asset_id":"a","severity":"high","payload":` + strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat(`}`, 10_000) + `}`, status: 422},
	{name: "10,000 arrays deep", path: "/findings/batch", body: strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000), status: 422},
	{name: "6 MiB", path: "/findings", body: `{"type":"xss","asset_id":"a","severity":"high","title":"` + strings.Repeat("x", 6<<20) + `"}`, status: 413},
	{name: "6 MiB to the control plane", path: "/webhooks", body: `{"url":"` + strings.Repeat("x", 6<<20) + `"}`, status: 413},
	{name: "batch of all bad", path: "/findings/batch", body: `[{"type":"xss"},7]`, status: 422, pointer: "/0/asset_id"},
	{name: "batch of 1,001", path: "/findings/batch", body: "[" + strings.Repeat(goodFinding+",", 1000) + goodFinding + "]", status: 422},
	{name: "no key", path: "/findings", body: goodFinding, header: []string{"Authorization", ""}, status: 401},
	{name: "wrong key", path: "/findings", body: goodFinding, header: []string{"Authorization", "Bearer " + rig.Key + "x"}, status: 401},
	{name: "wrong scheme", path: "/findings", body: goodFinding, header: []string{"Authorization", "Basic dTpw"}, status: 401},
	{name: "no key for nothing", method: "GET", path: "/nothing", header: []string{"Authorization", ""}, status: 401},
	{name: "unknown path", method: "GET", path: "/nothing", status: 404},
	{name: "unknown object", method: "GET", path: "/alerts/alt_00000000000000000000000000", status: 404},
	{name: "unknown endpoint", method: "GET", path: "/webhooks/whk_1", status: 404},
	{name: "wrong method", method: "DELETE", path: "/findings", status: 405},
	{name: "wrong method in the control plane", method: "PUT", path: "/webhooks", body: `{}`, status: 405},
	{name: "form in place of JSON", path: "/findings", body: "type=xss", header: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415},
	{name: "form to the control plane", path: "/webhooks", body: "url=x", header: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415},
	{name: "unknown field", path: "/webhooks", body: `{"url":"http://127.0.0.1:1/","colour":"red"}`, status: 422, pointer: "/colour"},
	{name: "wrong type in the control plane", path: "/webhooks", body: `{"url":7}`, status: 422, pointer: "/url"},
	{name: "no URL", path: "/webhooks", body: `{}`, status: 422, pointer: "/url"},
	{name: "broken JSON to the control plane", path: "/webhooks", body: `{"url"`, status: 400},
	{name: "bad cursor", method: "GET", path: "/alerts?after=nonsense", status: 400},
	{name: "cursor of another list", method: "GET", path: "/findings?after=@alerts", status: 400},
	{name: "limit 0", method: "GET", path: "/alerts?limit=0", status: 400},
	{name: "limit 201", method: "GET", path: "/alerts?limit=201", status: 400},
	{name: "limit of words", method: "GET", path: "/findings?limit=many", status: 400},
	{name: "limit 201 of webhooks", method: "GET", path: "/webhooks?limit=201", status: 400},
	{name: "page and cursor", method: "GET", path: "/alerts?page=-1", status: 400},
	{name: "filter on nonsense", method: "GET", path: "/alerts?severity=dire", status: 400},
	{name: "since nonsense", method: "GET", path: "/alerts?since=yesterday", status: 400},
	{name: "unknown source", path: "/ingest/nobody", body: `{}`, status: 404},
	{name: "act on nothing", path: "/alerts/alt_1/acknowledge", body: `{}`, status: 404},
	{name: "stale If-Match", method: "PATCH", path: "/alerts/@alert", body: `{"note":"x"}`, header: []string{"If-Match", `"99"`}, status: 412},
	{name: "nonsense If-Match", method: "PATCH", path: "/alerts/@alert", body: `{"note":"x"}`, header: []string{"If-Match", "x"}, status: 400},
	{name: "unknown status", method: "PATCH", path: "/alerts/@alert", body: `{"status":"gone"}`, status: 422, pointer: "/status"},
	{name: "bulk without aim", path: "/alerts/bulk", body: `{"action":"resolve"}`, status: 422, pointer: "/ids"},
}

// Whatever is wrong with a request, the answer is a problem that says so, never
// a 500, and carries the headers of every answer.
func TestBadInput(t *testing.T) {
	h := running(t)
	var good struct {
		AlertID string `json:"alert_id"`
	}
	if err := h.Post(t.Context(), "/findings?wait=true", []byte(goodFinding), &good); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("@alerts", cursorOfAlerts(t, h), "@alert", good.AlertID)
	for _, c := range badInputs {
		t.Run(c.name, func(t *testing.T) { checkBad(t, h, c, fill.Replace(c.path)) })
	}
	// None of it did harm.
	r := post(t, h, []byte(goodFinding))
	if r.Status != http.StatusAccepted {
		t.Errorf("a good finding afterwards got %d: %s", r.Status, r.Body)
	}
	checkHeaders(t, r.Header)
}

func checkBad(t *testing.T, h *rig.Hub, c badInput, path string) {
	method := c.method
	if method == "" {
		method = http.MethodPost
	}
	var body any
	if c.body != "" || method == http.MethodPost {
		body = c.body
	}
	r, err := h.Call(t.Context(), method, "/api/v1"+path, body, c.header...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != c.status {
		t.Errorf("got %d: %.300s; want %d", r.Status, r.Body, c.status)
		return
	}
	checkHeaders(t, r.Header)
	checkProblem(t, r, strings.SplitN("/api/v1"+path, "?", 2)[0], c.pointer)
	if r.Status == http.StatusMethodNotAllowed && r.Header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
	if r.Status == http.StatusUnauthorized && r.Header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
}

// checkProblem checks the form of an error (contract §2).
func checkProblem(t *testing.T, r *rig.Response, instance, pointer string) {
	t.Helper()
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q, want application/problem+json", got)
	}
	var p problem
	if err := json.Unmarshal(r.Body, &p); err != nil {
		t.Fatalf("%v: %.300s", err, r.Body)
	}
	if p.Type == "" || p.Title == "" || p.Detail == "" || p.Error != p.Detail || p.Status != r.Status || p.Instance != instance {
		t.Errorf("got the problem %+v; want type, title, detail, error = detail, status %d, instance %s", p, r.Status, instance)
	}
	if len(p.Detail) > 500 {
		t.Errorf("the detail is %d bytes long: %.100s…", len(p.Detail), p.Detail)
	}
	if r.Status != http.StatusUnprocessableEntity {
		return
	}
	if len(p.Errors) == 0 {
		t.Errorf("422 without errors: %s", r.Body)
	}
	pointers := []string{}
	for _, e := range p.Errors {
		pointers = append(pointers, e.Pointer)
		if e.Detail == "" {
			t.Errorf("the error at %q says nothing", e.Pointer)
		}
	}
	if pointer != "" && !slices.Contains(pointers, pointer) {
		t.Errorf("the errors point to %q, want %q among them", pointers, pointer)
	}
}

func checkHeaders(t *testing.T, header http.Header) {
	t.Helper()
	for _, name := range []string{"X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Burst"} {
		if header.Get(name) == "" {
			t.Errorf("the answer has no %s", name)
		}
	}
}

// cursorOfAlerts gives a cursor that is good for alerts.
func cursorOfAlerts(t *testing.T, h *rig.Hub) string {
	t.Helper()
	for i := range 2 {
		if err := h.Post(t.Context(), "/findings?wait=true", rig.Findings{Run: "page"}.Append(nil, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	var list struct {
		NextCursor string `json:"next_cursor"`
	}
	if err := h.Get(t.Context(), "/alerts?limit=1", &list); err != nil {
		t.Fatal(err)
	}
	if list.NextCursor == "" {
		t.Fatal("a list of two alerts by one has no next_cursor")
	}
	return list.NextCursor
}

// Of lines, a broken one is rejected by its index, and the others are kept.
func TestBrokenLineInBatch(t *testing.T) {
	h := running(t)
	body := goodFinding + "\n" + `{"type":"xss",` + "\n" + strings.Replace(goodFinding, "web-1", "web-2", 1) + "\n" + `{"type":"xss"}` + "\n"
	r, err := h.Call(t.Context(), http.MethodPost, "/api/v1/findings/batch", body, "Content-Type", "application/x-ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Accepted int      `json:"accepted"`
		IDs      []string `json:"ids"`
		Rejected []struct {
			Index int    `json:"index"`
			Error string `json:"error"`
		} `json:"rejected"`
	}
	if err := json.Unmarshal(r.Body, &got); err != nil {
		t.Fatal(err)
	}
	if r.Status != http.StatusAccepted || got.Accepted != 2 || len(got.IDs) != 2 || len(got.Rejected) != 2 {
		t.Fatalf("got %d %s; want 202 with 2 accepted and 2 rejected", r.Status, r.Body)
	}
	if at := fmt.Sprint(got.Rejected[0].Index, got.Rejected[1].Index); at != "1 3" || got.Rejected[0].Error == "" {
		t.Errorf("got the rejected %+v; want 1 and 3 with their errors", got.Rejected)
	}
	eventually(t, "both good findings triaged", timeLong, func() bool {
		return alertOf(t, h, got.IDs[0]) != "" && alertOf(t, h, got.IDs[1]) != ""
	})
}
