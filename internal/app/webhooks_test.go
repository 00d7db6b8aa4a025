package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/relay/sign"
)

// A hookView is an endpoint as the API shows it.
type hookView struct {
	hub.Endpoint
	Secret string `json:"secret"`
}

// listed is a list of deliveries.
type listed struct {
	Data []hub.Delivery `json:"data"`
}

// call makes a request, wants a status and reads the answer.
func call[T any](r *running, method, path, body string, status int) (v T) {
	r.t.Helper()
	got, answer := r.do(method, path, testKey, body)
	if got != status {
		r.t.Fatalf("%s %s is answered %d %s, want %d", method, path, got, answer, status)
	}
	if answer == "" {
		return v
	}
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		r.t.Fatal(err)
	}
	return v
}

// secretsOf gives an endpoint's secrets as they are stored.
func secretsOf(r *running, id hub.EndpointID) []hub.SigningSecret {
	r.t.Helper()
	var out []hub.SigningSecret
	err := r.st.View(r.t.Context(), func(rd *store.Reader) error {
		e, err := rd.Endpoint(hub.DefaultTenant, id)
		if err == nil {
			out = e.Secrets.Signing
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func TestKeyPairOfAnEndpoint(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	e := call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"http://127.0.0.1:9/x","key_pair":true}`, 201)
	path := "/api/v1/webhooks/" + string(e.ID)
	if len(e.PublicKeys) != 1 || !strings.HasPrefix(e.PublicKeys[0].Key, "whpk_") || !strings.HasPrefix(e.Secret, "whsec_") {
		t.Fatalf("made with keys %v and secret %q", e.PublicKeys, e.Secret)
	}
	turned := call[api.Rotated](r, "POST", path+"/rotate-secret", `{"key_pair":true,"grace":"1h"}`, 200)
	shown := call[hookView](r, "GET", path, "", 200)
	if len(shown.PublicKeys) != 2 || shown.PublicKeys[1].Key != e.PublicKeys[0].Key || shown.PublicKeys[1].Expires.IsZero() || shown.PublicKeys[0].Key != turned.PublicKey || turned.Secret != "" {
		t.Errorf("after a new pair the keys are %+v; answered %+v", shown.PublicKeys, turned)
	}
	call[any](r, "POST", path+"/rotate-secret", `{"grace":"1h"}`, 200)
	var kinds []string
	for _, s := range secretsOf(r, e.ID) {
		kind, _, _ := strings.Cut(s.Text, "_")
		if !s.Expires.IsZero() {
			kind += " old"
		}
		kinds = append(kinds, kind)
	}
	if diff := cmp.Diff([]string{"whsec", "whsk", "whsec old", "whsk old"}, kinds); diff != "" {
		t.Errorf("secrets after both were renewed (-want +got):\n%s", diff)
	}
	if _, text := r.do("GET", path, testKey, ""); strings.Contains(text, "whsk_") || strings.Contains(text, "whsec_") {
		t.Errorf("a secret is shown: %s", text)
	}
	gone := call[hookView](r, "PATCH", path, `{"key_pair":false}`, 200)
	if len(gone.PublicKeys) != 0 || len(secretsOf(r, e.ID)) != 2 {
		t.Errorf("without a pair there are keys %v and %d secrets", gone.PublicKeys, len(secretsOf(r, e.ID)))
	}
}

// Old and new config files: the replaced secret signs on for a while.
func TestASecretChangedInTheConfigFileSignsOn(t *testing.T) {
	dir := t.TempDir()
	one, two, pair := sign.NewSecret(), sign.NewSecret(), sign.NewPair()
	file := func(keys string) string {
		return "endpoints:\n- {name: soar, kind: webhook, url: 'http://127.0.0.1:9/a', events: [alert.*], " + keys + "}\n"
	}
	find := func(r *running) *hub.Endpoint {
		for _, e := range r.rules.all() {
			if e.Name == "soar" {
				return e
			}
		}
		t.Fatal("no endpoint")
		return nil
	}
	texts := func(e *hub.Endpoint) (out []string) {
		for _, s := range e.Secrets.Signing {
			text := s.Text
			if !s.Expires.IsZero() {
				text += " until " + time.Until(s.Expires).Round(time.Hour).String()
			}
			out = append(out, text)
		}
		return out
	}
	steps := []struct {
		keys    string
		want    []string
		version int64
	}{
		{"secret: " + one + ", key_pair: " + pair, []string{one, pair}, 1},
		{"secret: " + one + ", key_pair: " + pair, []string{one, pair}, 1},
		{"secret: " + two + ", key_pair: " + pair, []string{two, one + " until 24h0m0s", pair}, 2},
		{"secret: " + two + ", key_pair: " + pair, []string{two, one + " until 24h0m0s", pair}, 2},
		{"secret: " + two, []string{two, one + " until 24h0m0s"}, 3},
	}
	env := withKey
	for i, s := range steps {
		r := start(t, load(t, dir, file(s.keys)), env)
		e := find(r)
		if diff := cmp.Diff(s.want, texts(e)); diff != "" || e.Version != s.version {
			t.Errorf("step %d: version %d, want %d; (-want +got)\n%s", i, e.Version, s.version, diff)
		}
		r.stop()
		env = nil
	}
}

// What makes an endpoint refused at its making is refused at its change and test,
// in the same words.
func TestRefusedEverywhereAlike(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	e := call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"http://127.0.0.1:9/x"}`, 201)
	for _, url := range []string{"http://10.1.2.3/", "http://169.254.169.254/", "http://[64:ff9b::127.0.0.1]/", "http://0x7f.1/", "ftp://example.com/"} {
		_, made := r.do("POST", "/api/v1/webhooks", testKey, `{"url":"`+url+`"}`)
		status, changed := r.do("PATCH", "/api/v1/webhooks/"+string(e.ID), testKey, `{"url":"`+url+`"}`)
		detail := func(answer string) string {
			var p struct {
				Errors []hub.Field `json:"errors"`
			}
			if json.Unmarshal([]byte(answer), &p) != nil || len(p.Errors) != 1 || p.Errors[0].Pointer != "/url" {
				t.Errorf("%s is answered %s", url, answer)
				return ""
			}
			return p.Errors[0].Detail
		}
		if status != 422 || detail(made) != detail(changed) || !strings.Contains(detail(made), "refused (") {
			t.Errorf("%s is answered %s at its making, %d %s at its change", url, made, status, changed)
		}
	}
	for name, body := range map[string]string{
		"/headers/Host":          `{"headers":{"Host":"a"}}`,
		"/headers/webhook-id":    `{"headers":{"webhook-id":"a"}}`,
		"/signing/0/header":      `{"signing":[{"type":"hex","header":"webhook-signature"}]}`,
		"/timeout":               `{"timeout":"1h"}`,
		"/retry/schedule":        `{"retry":{"schedule":["5s"],"initial":"5s"}}`,
		"/events/0":              `{"events":["alrt.*"]}`,
		"/filter":                `{"filter":"alert."}`,
		"/transform":             `{"transform":"alert."}`,
		"/retry/schedule/1":      `{"retry":{"schedule":["5s","900h"]}}`,
		"/retry/attempts":        `{"retry":{"initial":"5s"}}`,
		"/headers/X-A":           `{"headers":{"X-A":"a\nb"}}`,
		"/secret":                `{"secret":"whsec_AAAA"}`,
		"/signing/1/header":      `{"signing":[{"type":"hex","header":"X-A"},{"type":"hex","header":"X-A"}]}`,
		"/headers/Content-Type":  `{"headers":{"Content-Type":"a"}}`,
		"/headers/a~1b":          `{"headers":{"a/b":"a"}}`,
		"/signing/0/prefix":      `{"signing":[{"type":"hex","header":"X-A","prefix":"\n"}]}`,
		"/headers/Authorization": ``,
	} {
		if body == "" { // credentials are what headers are for
			call[any](r, "PATCH", "/api/v1/webhooks/"+string(e.ID), `{"headers":{"Authorization":"Bearer x"}}`, 200)
			continue
		}
		status, answer := r.do("PATCH", "/api/v1/webhooks/"+string(e.ID), testKey, body)
		if status != 422 || !strings.Contains(answer, `"`+name+`"`) {
			t.Errorf("%s is answered %d %s, want 422 that names %s", body, status, answer, name)
		}
	}
}

// The trial sends to the receiver, once, and is listed.
func TestTrial(t *testing.T) {
	got := make(chan http.Header, 8)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		w.WriteHeader(503)
	}))
	defer srv.Close()
	r := start(t, load(t, t.TempDir(), ""), withKey)
	e := call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"`+srv.URL+`"}`, 201)
	a := call[hub.Attempt](r, "POST", "/api/v1/webhooks/"+string(e.ID)+"/test", "", 200)
	if a.Status != 503 || a.Verdict != "dead" || len(got) != 1 {
		t.Errorf("the trial gave %+v with %d requests", a, len(got))
	}
	list := call[listed](r, "GET", "/api/v1/webhooks/"+string(e.ID)+"/deliveries", "", 200)
	if len(list.Data) != 1 || list.Data[0].State != hub.DeliveryDead || list.Data[0].Fault != "endpoint" {
		t.Errorf("it is listed as %+v", list.Data)
	}
}
