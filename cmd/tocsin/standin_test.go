package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// A standIn answers as a hub does, with fixed answers, and refuses a wrong key.
type standIn struct {
	mu     sync.Mutex
	busy   int // how many more requests are told to come back
	served *http.ServeMux
}

const alertJSON = `{"id":"%s","tenant":"default","fingerprint":"%064d","title":"SQL \u001b[31minjection","type":"sql_injection","severity":"critical","status":"%s",` +
	`"asset_id":"web-1","source":"cybervault","sources":["cybervault"],"first_seen":"2026-01-02T15:04:05Z","last_seen":"2026-01-02T15:04:05Z",` +
	`"created_at":"2026-01-02T15:04:05Z","updated_at":"2026-01-02T15:04:05Z","count":3,"generation":1,"version":2%s}`

func newStandIn() *standIn {
	s := &standIn{busy: 1, served: http.NewServeMux()}
	route := func(pattern string, h func(r *http.Request) (int, string)) {
		method, path, _ := strings.Cut(pattern, " ")
		s.served.HandleFunc(method+" /api/v1"+path, func(w http.ResponseWriter, r *http.Request) {
			status, body := h(r)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, body) //nolint:errcheck // the test sees it
		})
	}
	route("POST /findings/batch", s.batch)
	route("GET /alerts", alertPages)
	route("GET /alerts/{id}", func(r *http.Request) (int, string) {
		if r.PathValue("id") != "alt_1" {
			return problem(404, "there is no such alert", "")
		}
		return 200, fmt.Sprintf(alertJSON, "alt_1", 1, "open", `,"findings":[],"timeline":[{"alert_id":"alt_1","version":1,"at":"2026-01-02T15:04:05Z","actor":"source:cybervault","action":"created"}]`)
	})
	route("POST /alerts/{id}/acknowledge", func(r *http.Request) (int, string) {
		body, _ := io.ReadAll(r.Body)
		if r.PathValue("id") == "alt_9" {
			return problem(404, "there is no such alert", "")
		}
		if string(body) != `{"note":"mine"}` {
			return problem(422, "note is wrong: "+string(body), "")
		}
		return 200, fmt.Sprintf(alertJSON, r.PathValue("id"), 1, "investigating", "")
	})
	const approvalJSON = `{"id":"%s","tenant":"default","run_id":"run_1","playbook":"contain-host","step":"ask","subject":"alt_1","message":"Contain\nweb-1?","by":[],"quorum":2,"on_timeout":"stop",` +
		`"channels":[],"state":"%s","answers":[{"who":"usr_1","name":"ada@example.com","decision":"approve","at":"2026-01-02T15:04:05Z"}],"created_at":"2026-01-02T15:04:05Z","expires_at":"2026-01-02T16:04:05Z","version":2}`
	route("GET /approvals", func(r *http.Request) (int, string) {
		return 200, `{"data":[` + fmt.Sprintf(approvalJSON, "apr_1", r.URL.Query().Get("state")) + `],"next_cursor":null,"has_more":false}`
	})
	route("POST /approvals/{id}", func(r *http.Request) (int, string) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.PathValue("id") == "apr_9":
			return problem(409, "this is approved already by ada@example.com at 2026-01-02T15:04:05Z", "")
		case string(body) == `{"decision":"approve","note":"fine"}`:
			return 200, fmt.Sprintf(approvalJSON, r.PathValue("id"), "approved")
		case string(body) == `{"decision":"deny"}`:
			return 200, fmt.Sprintf(approvalJSON, r.PathValue("id"), "denied")
		}
		return problem(422, "not what was meant: "+string(body), "")
	})
	route("GET /deliveries", func(r *http.Request) (int, string) {
		return 200, `{"data":[{"id":"dlv_1","tenant":"default","endpoint_id":"whk_1","kind":"webhook","action":"send","state":"` + r.URL.Query().Get("state") +
			`","event_id":"msg_1","event_type":"alert.created","sequence":1,"subject":"alt_1","attempts":4,"created_at":"2026-01-02T15:04:05Z","updated_at":"2026-01-02T15:04:05Z","last_status":500,"last_error":"the receiver answered 500"}],"next_cursor":null,"has_more":false}`
	})
	route("POST /deliveries/{id}/retry", func(r *http.Request) (int, string) {
		if r.PathValue("id") == "dlv_9" {
			return problem(409, "the delivery is being sent right now", "")
		}
		return 200, `{"id":"` + r.PathValue("id") + `","tenant":"default","state":"pending"}`
	})
	replay := func(id, state string, done int) string {
		return fmt.Sprintf(`{"id":%q,"tenant":"default","endpoint_id":"whk_1","state":%q,"since":"2026-01-02T15:04:05Z","until":"2026-01-03T15:04:05Z","total":7,"done":%d,"skipped":1,"created_by":"key_1","created_at":"2026-01-03T15:04:05Z","count":7}`, id, state, done)
	}
	asked := 0
	route("POST /webhooks/{id}/replay", func(r *http.Request) (int, string) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.PathValue("id") != "whk_1":
			return problem(404, "there is no webhook endpoint", "")
		case bytes.Contains(body, []byte(`"dry_run":true`)):
			return 200, replay("", "dry_run", 0)
		case !bytes.Contains(body, []byte(`"since":"2026-01-02T15:04:05Z","state":["dead"]`)):
			return problem(422, "not what was meant: "+string(body), "")
		}
		return 202, replay("rpl_1", "running", 0)
	})
	route("GET /replays/{id}", func(*http.Request) (int, string) {
		if asked++; asked < 2 {
			return 200, replay("rpl_1", "running", 3)
		}
		return 200, replay("rpl_1", "done", 7)
	})
	route("POST /replays/{id}/cancel", func(r *http.Request) (int, string) { return 200, replay(r.PathValue("id"), "cancelled", 3) })
	route("GET /webhooks/{id}/replays", func(*http.Request) (int, string) {
		return 200, `{"data":[` + replay("rpl_1", "done", 7) + `],"next_cursor":null,"has_more":false}`
	})
	route("PATCH /webhooks/{id}", func(r *http.Request) (int, string) {
		body, _ := io.ReadAll(r.Body)
		return 200, `{"id":"` + r.PathValue("id") + `","tenant":"default","kind":"webhook",` + string(body)[1:]
	})
	route("GET /connectors", func(*http.Request) (int, string) {
		return 200, `{"data":[{"name":"vault","kind":"cybervault","state":"failing","pulls":true,"receives":true,"lag_seconds":90.5,"last_error":{"at":"2026-01-02T15:04:05Z","error":"the token is wrong","advice":"make a new one"},"counts":{"findings_pulled":4,"findings_received":3,"errors":2}}],"next_cursor":null,"has_more":false}`
	})
	route("GET /connectors/vault/rejected", func(*http.Request) (int, string) {
		return 200, `{"data":[{"number":7,"at":"2026-01-02T15:04:05Z","index":3,"error":"it has no id","item":"{\"x\":1}","bytes":7}],"next_cursor":null,"has_more":false}`
	})
	route("POST /webhooks", func(r *http.Request) (int, string) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("127.0.0.1")) {
			return problem(422, "url is refused (loopback)", `,"errors":[{"pointer":"/url","detail":"leads to a loopback address"},{"pointer":"/filter","detail":"does not compile"}]`)
		}
		return 201, `{"id":"whk_1","tenant":"default","kind":"webhook","url":"https://siem.example/x","enabled":true,"events":["alert.*"],"created_at":"2026-01-02T15:04:05Z","updated_at":"2026-01-02T15:04:05Z","version":1,"secret":"whsec_c2VjcmV0"}`
	})
	route("DELETE /webhooks/{id}", func(*http.Request) (int, string) { return 204, "" })
	const mail = `{"id":"chn_1","tenant":"default","name":"soc-mail","kind":"email","enabled":true,"events":["alert.*"],"created_at":"2026-01-02T15:04:05Z","updated_at":"2026-01-02T15:04:05Z","version":1,"to":["soc@example.com","duty@example.com"],"origin":"api","read_only":false,"secrets":{"password":"set"}}`
	const siem = `{"id":"chn_2","tenant":"default","name":"siem","kind":"elasticsearch","url":"https://siem.example","enabled":true,"events":[],"created_at":"2026-01-02T15:04:05Z","updated_at":"2026-01-02T15:04:05Z","version":1,"origin":"config","read_only":true,"secrets":{}}`
	route("GET /channels", func(*http.Request) (int, string) {
		return 200, `{"data":[` + mail + `,` + siem + `],"next_cursor":null,"has_more":false}`
	})
	route("GET /channels/{id}", func(*http.Request) (int, string) { return 200, mail })
	route("DELETE /channels/{id}", func(*http.Request) (int, string) { return 204, "" })
	route("POST /channels", func(r *http.Request) (int, string) {
		body, _ := io.ReadAll(r.Body)
		for _, want := range []string{`"password":"geheim"`, `"to":["soc@example.com","duty@example.com"]`, `"templates":{"subject":"[{{.alert.severity}}] x"}`, `"host":"smtp.example.com"`} {
			if !bytes.Contains(body, []byte(want)) {
				return problem(422, "not what was meant: "+string(body), "")
			}
		}
		return 201, mail
	})
	route("POST /channels/{id}/test", func(r *http.Request) (int, string) {
		if r.PathValue("id") == "chn_1" {
			return 200, `{"delivery_id":"dlv_1","number":1,"at":"2026-01-02T15:04:05Z","duration":"5ms","status":250,"verdict":"succeeded"}`
		}
		return 200, `{"delivery_id":"dlv_1","number":1,"at":"2026-01-02T15:04:05Z","duration":"5ms","status":503,"error":"Elasticsearch answered 503","verdict":"dead"}`
	})
	route("POST /api-keys", func(r *http.Request) (int, string) {
		return 201, `{"id":"key_1","name":"scanner","role":"ingest","created_at":"2026-01-02T15:04:05Z","key":"toc_live_once"}`
	})
	return s
}

func problem(status int, detail, more string) (int, string) {
	return status, fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"detail":%q,"error":%q%s}`, http.StatusText(status), status, detail, detail, more)
}

// ServeHTTP checks the key first.
func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer toc_live_right" {
		w.WriteHeader(401)
		_, body := problem(401, "the API key is not known", "")
		io.WriteString(w, body) //nolint:errcheck // the test sees it
		return
	}
	s.served.ServeHTTP(w, r)
}

func (s *standIn) batch(r *http.Request) (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy > 0 {
		s.busy--
		return problem(503, "the backlog is full", "")
	}
	body, _ := io.ReadAll(r.Body)
	var rejected []string
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	for i, l := range lines {
		if !strings.Contains(l, `"asset_id"`) {
			rejected = append(rejected, fmt.Sprintf(`{"index":%d,"error":"asset_id is required"}`, i))
		}
	}
	return 202, fmt.Sprintf(`{"accepted":%d,"ids":[],"rejected":[%s]}`, len(lines)-len(rejected), strings.Join(rejected, ","))
}

// alertPages gives 450 alerts in parts of at most limit.
func alertPages(r *http.Request) (int, string) {
	const all = 450
	limit, from := 50, 0
	fmt.Sscan(r.URL.Query().Get("limit"), &limit) //nolint:errcheck // the default stays
	fmt.Sscan(r.URL.Query().Get("after"), &from)  //nolint:errcheck // from the start
	if limit > 200 {
		return problem(400, "limit must be at most 200", "")
	}
	var rows []string
	for i := from; i < min(from+limit, all); i++ {
		rows = append(rows, fmt.Sprintf(alertJSON, fmt.Sprintf("alt_%d", i), i, "open", ""))
	}
	next, more := "null", from+limit < all
	if more {
		next = fmt.Sprintf(`"%d"`, from+limit)
	}
	return 200, fmt.Sprintf(`{"data":[%s],"next_cursor":%s,"has_more":%t}`, strings.Join(rows, ","), next, more)
}
