package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
	"github.com/tocsin/tocsin/relay/relaytest"
	"github.com/tocsin/tocsin/relay/sign"
	"github.com/tocsin/tocsin/relay/webhook"
	"github.com/tocsin/tocsin/test/sim/receiver"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

const (
	newSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	oldSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	event     = `{"specversion":"1.0","id":"msg_01","type":"alert.created","data":{"alert":{"title":"Zürich < 1 & 2"}}}`
)

func endpoint(url string) *hub.Endpoint {
	return &hub.Endpoint{
		ID: "whk_1", Kind: hub.KindWebhook, URL: url, Enabled: true,
		Headers: map[string]string{"X-Api-Key": "s3cret-api-key", "content-type": "text/plain"},
		Signing: []hub.SigningScheme{{Type: "hex", Header: "X-CV-Signature"}, {Type: "hex", Header: "X-Hub", Prefix: "sha256="}, {Type: "timestamped", Header: "X-Signature"}},
		Secrets: hub.EndpointSecrets{Signing: []hub.SigningSecret{
			{Text: newSecret}, {Text: oldSecret, Expires: time.Now().Add(time.Hour)}, {Text: "whsec_expired", Expires: time.Now().Add(-time.Second)},
		}},
	}
}

func delivery() *hub.Delivery {
	return &hub.Delivery{ID: "dlv_01", Kind: hub.KindWebhook, Action: hub.ActionSend, EventID: "msg_01", EventType: hub.AlertCreated, Body: []byte(event)}
}

func client() *safehttp.Client {
	return safehttp.New(safehttp.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, UserAgent: "Tocsin/test"})
}

func TestKit(t *testing.T) {
	relaytest.Run(t, relaytest.Kit{
		New:      func(c *safehttp.Client) relay.Target { return webhook.New(webhook.Options{Client: c}) },
		Endpoint: endpoint,
		Delivery: delivery,
		Taken:    func(w http.ResponseWriter, status int) { w.WriteHeader(status) },
		Kind: func(status int) hub.Kind {
			switch {
			case status < 300:
				return ""
			case status == 410:
				return hub.Gone
			case status == 429:
				return hub.RateLimited
			}
			return hub.Transient
		},
		Key:     func(r *http.Request, body []byte) string { return r.Header.Get("webhook-id") + string(body) },
		Secrets: []string{"s3cret-api-key", newSecret, oldSecret},
	})
}

// got is one request as the far side sees it.
type got struct {
	header http.Header
	body   string
}

func receive(t *testing.T, e func(url string) *hub.Endpoint, d *hub.Delivery, o webhook.Options) (got, error) {
	t.Helper()
	var g got
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		g = got{r.Header, string(b)}
	}))
	defer srv.Close()
	o.Client = client()
	_, err := webhook.New(o).Send(t.Context(), e(srv.URL), d)
	return g, err
}

// The signatures are recomputed from the specifications, not with our code.
func TestSignatures(t *testing.T) {
	g, err := receive(t, endpoint, delivery(), webhook.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if g.body != event {
		t.Errorf("body is %s, want the event unchanged", g.body)
	}
	sum := func(key, text string) []byte {
		m := hmac.New(sha256.New, []byte(key))
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stamp := g.header.Get("webhook-timestamp")
	if unix, err := strconv.ParseInt(stamp, 10, 64); err != nil || max(time.Now().Unix()-unix, unix-time.Now().Unix()) > 5 {
		t.Errorf("webhook-timestamp is %q", stamp)
	}
	var entries []string
	for _, secret := range []string{newSecret, oldSecret} {
		key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		entries = append(entries, "v1,"+base64.StdEncoding.EncodeToString(sum(string(key), "msg_01."+stamp+"."+event)))
	}
	plain := hex.EncodeToString(sum(newSecret, event))
	stamped := func(secret string) string { return ",v1=" + hex.EncodeToString(sum(secret, stamp+"."+event)) }
	for name, want := range map[string]string{
		"webhook-id":        "msg_01",
		"webhook-signature": strings.Join(entries, " "),
		"X-CV-Signature":    plain,
		"X-Hub":             "sha256=" + plain,
		"X-Signature":       "t=" + stamp + stamped(newSecret) + stamped(oldSecret),
		"Content-Type":      "application/json",
		"X-Api-Key":         "s3cret-api-key",
		"User-Agent":        "Tocsin/test",
	} {
		if v := g.header.Values(name); len(v) != 1 || v[0] != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}

// A receiver that somebody else wrote takes it, with all signatures at once.
func TestReceiverTakesIt(t *testing.T) {
	pair := sign.NewPair()
	k, err := sign.ParseSecret(pair)
	if err != nil {
		t.Fatal(err)
	}
	sim := receiver.New(receiver.Options{Options: unkind.Options{Kind: true}, Endpoints: []receiver.Endpoint{
		{Path: "/hook", Secrets: []string{newSecret}, PublicKey: k.Public(), Hex: "X-CV-Signature", Stamped: "X-Signature"},
	}})
	srv := httptest.NewServer(sim)
	defer srv.Close()
	e := endpoint(srv.URL + "/hook")
	e.Secrets.Signing = append([]hub.SigningSecret{{Text: pair}}, e.Secrets.Signing...)
	a, err := webhook.New(webhook.Options{Client: client()}).Send(t.Context(), e, delivery())
	if err != nil || a.Status != 204 {
		t.Errorf("status %d, %v; violations %v", a.Status, err, sim.Violations())
	}
	if v := sim.Violations(); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

// Verifiers in use look at the first entry first, so pairs come last.
func TestOrderOfSignatures(t *testing.T) {
	g, err := receive(t, func(url string) *hub.Endpoint {
		e := endpoint(url)
		e.Secrets.Signing = append([]hub.SigningSecret{{Text: sign.NewPair()}, {Text: sign.NewPair(), Expires: time.Now().Add(time.Hour)}}, e.Secrets.Signing...)
		return e
	}, delivery(), webhook.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var schemes []string
	for entry := range strings.SplitSeq(g.header.Get("webhook-signature"), " ") {
		scheme, _, _ := strings.Cut(entry, ",")
		schemes = append(schemes, scheme)
	}
	if got := strings.Join(schemes, " "); got != "v1 v1 v1a v1a" {
		t.Errorf("schemes are %q", got)
	}
}

func TestReceiverMaySayMore(t *testing.T) {
	for _, tt := range []struct {
		header []string
		want   string
	}{
		{nil, ""},
		{[]string{"disable"}, hub.ControlDisable},
		{[]string{" Abort-Message "}, hub.ControlAbort},
		{[]string{"abort-message, disable"}, hub.ControlDisable},
		{[]string{"abort-message", "disable"}, hub.ControlDisable},
		{[]string{"please stop"}, ""},
	} {
		for _, status := range []int{204, 500} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Webhook-Delivery"] = tt.header
				w.WriteHeader(status)
			}))
			a, err := webhook.New(webhook.Options{Client: client()}).Send(t.Context(), endpoint(srv.URL), delivery())
			srv.Close()
			if a.Control != tt.want || (err == nil) != (status == 204) {
				t.Errorf("%d with %q: wish %q, error %v; want %q", status, tt.header, a.Control, err, tt.want)
			}
		}
	}
}

func TestNothingIsSentUnsigned(t *testing.T) {
	for name, secrets := range map[string][]hub.SigningSecret{
		"none":     nil,
		"expired":  {{Text: newSecret, Expires: time.Now().Add(-time.Second)}},
		"too weak": {{Text: "whsec_AAAA"}},
		"no form":  {{Text: "password-password-password-password"}},
		"pair":     {{Text: sign.NewPair()}},
	} {
		g, err := receive(t, func(url string) *hub.Endpoint {
			e := endpoint(url)
			e.Secrets.Signing = secrets
			return e
		}, delivery(), webhook.Options{})
		if hub.KindOf(err) != hub.Invalid || g.header != nil {
			t.Errorf("%s: %v, sent %v; want invalid and nothing sent", name, err, g.header != nil)
		}
		for _, s := range secrets {
			if err != nil && strings.Contains(err.Error(), s.Text) {
				t.Errorf("%s: the error shows the secret: %v", name, err)
			}
		}
	}
}

func TestBodies(t *testing.T) {
	transform := func(expression string, body []byte) ([]byte, error) {
		if expression == "fails" {
			return nil, errors.New("no such field")
		}
		return []byte(fmt.Sprintf(`{"by":%q,"of":%d}`, expression, len(body))), nil
	}
	tests := []struct {
		name, run, params, transform string
		o                            webhook.Options
		id, body                     string
		kind                         hub.Kind
	}{
		{name: "subscription", id: "msg_01", body: event},
		{name: "step", run: "run_1", id: "msg_XY", body: event},
		{name: "step with a body", run: "run_1", params: `{"body":{"a": [1,"é"]}}`, id: "msg_XY", body: `{"a": [1,"é"]}`},
		{name: "step with a text as body", run: "run_1", params: `{"body":"x"}`, id: "msg_XY", body: `"x"`},
		{name: "notify", run: "run_1", params: `{"message":"Look \"here\""}`, id: "msg_XY", body: event[:len(event)-1] + `,"message":"Look \"here\""}`},
		{name: "transform", transform: "t", o: webhook.Options{Transform: transform}, id: "msg_01", body: fmt.Sprintf(`{"by":"t","of":%d}`, len(event))},
		{name: "transform fails", transform: "fails", o: webhook.Options{Transform: transform}, kind: hub.Invalid},
		{name: "transform is not there", transform: "t", kind: hub.Internal},
		{name: "bad params", run: "run_1", params: `{`, kind: hub.Internal},
	}
	for _, tt := range tests {
		d := delivery()
		d.ID, d.Run = "dlv_XY", hub.RunID(tt.run)
		if tt.params != "" {
			d.Params = jsontext.Value(tt.params)
		}
		g, err := receive(t, func(url string) *hub.Endpoint {
			e := endpoint(url)
			e.Transform = tt.transform
			return e
		}, d, tt.o)
		if hub.KindOf(err) != tt.kind || tt.kind != "" && g.header != nil {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.kind)
			continue
		}
		if g.body != tt.body || tt.kind == "" && g.header.Get("webhook-id") != tt.id {
			t.Errorf("%s: id %q, body %s; want %q, %s", tt.name, g.header.Get("webhook-id"), g.body, tt.id, tt.body)
		}
	}
}

func TestSecretsAreMaskedInTheRecord(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	e := endpoint(srv.URL)
	e.Headers["x-pin"] = "12"
	a, _ := webhook.New(webhook.Options{Client: client()}).Send(t.Context(), e, delivery())
	if a.Request["X-Api-Key"] != "***" || a.Request["X-Pin"] != "***" || !strings.HasPrefix(a.Request[sign.HeaderSignature], "v1,") {
		t.Errorf("request headers are %v; want the key masked and the signature shown", a.Request)
	}
	sum := sha256.Sum256([]byte(event))
	if want := "sha-256=" + hex.EncodeToString(sum[:]); a.Digest != want {
		t.Errorf("digest is %s, want %s", a.Digest, want)
	}
}

func BenchmarkSend(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(204)
	}))
	defer srv.Close()
	target, d := webhook.New(webhook.Options{Client: client()}), delivery()
	e := endpoint(srv.URL)
	e.Signing = e.Signing[:1]
	d.Body = []byte(`{"a":"` + strings.Repeat("x", 1024) + `"}`)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := target.Send(b.Context(), e, d); err != nil {
				b.Fatal(err)
			}
		}
	})
}
