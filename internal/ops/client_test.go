package ops

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name string
		res  *http.Response
		want string
	}{
		{
			"fields", respond(422, `{"title":"x","detail":"severity is wrong","errors":[{"pointer":"/severity","detail":"is wrong"},{"pointer":"/url","detail":"is required"}]}`),
			"severity is wrong: /severity is wrong; /url is required",
		},
		{"one field, told already", respond(422, `{"title":"x","detail":"severity is wrong","errors":[{"pointer":"/severity","detail":"is wrong"}]}`), "severity is wrong"},
		{"forbidden", respond(403, `{"title":"x","detail":"this needs the permission alerts:update"}`), "this needs the permission alerts:update; use a key whose role allows it"},
		{"too many", respond(429, `{"title":"x","detail":"more than 60 requests a minute"}`, "Retry-After", "7"), "more than 60 requests a minute; try again after 7s"},
		{"ours", respond(500, `{"title":"x","detail":"internal error","request_id":"req_1"}`), "internal error; the hub's log tells more under request_id req_1"},
		{"not a hub", respond(404, `<html>`), "the hub answered 404 Not Found"},
		{"a redirect", respond(301, ``, "Location", "https://else.where/"), "the address leads elsewhere, to https://else.where/; name the hub itself with --url"},
	} {
		client, err := NewClient("http://hub.test", "k", "test", transport(func(*http.Request) (*http.Response, error) { return c.res, nil }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Do(t.Context(), Call{Method: "GET", Path: "/alerts"}); errText(err) != c.want {
			t.Errorf("%s: got %q, want %q", c.name, errText(err), c.want)
		}
	}
}

func TestRequestsAsTheyAreSent(t *testing.T) {
	var got string
	client, err := NewClient("https://hub.test/base/", "toc_live_1", "1.2", transport(func(r *http.Request) (*http.Response, error) {
		got = fmt.Sprintln(r.Method, r.URL, r.Header.Get("Authorization"), r.Header.Get("User-Agent"), r.Header.Get("Content-Type"))
		return respond(200, "{}"), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(t.Context(), Call{Method: "POST", Path: "/connectors/a%2Fb/sync", Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if want := "POST https://hub.test/base/api/v1/connectors/a%2Fb/sync Bearer toc_live_1 tocsin/1.2 application/json\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func TestAddressesThatCannotBe(t *testing.T) {
	for _, c := range [][2]string{{"localhost:8080", "k"}, {"ftp://x", "k"}, {"", "k"}, {"http://x", "two words"}} {
		if _, err := NewClient(c[0], c[1], "", nil); err == nil {
			t.Errorf("%q with key %q was taken", c[0], c[1])
		} else if strings.Contains(err.Error(), "two words") {
			t.Errorf("the key is in the error: %v", err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-3": 0, "nonsense": 0, "9": 9 * time.Second,
		"Fri, 02 Jan 2026 15:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 15:03:35 GMT": 0,
	} {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func TestOpenAPIWithoutAHub(t *testing.T) {
	doc, err := OpenAPI("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"openapi":"3.1`, `"version":"1.2.3"`, `"/api/v1/findings/batch"`, `"/api/v1/webhooks/{id}"`} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("the document has no %s", want)
		}
	}
}

var _ error = (*APIError)(nil)

func TestFieldsAreKept(t *testing.T) {
	client, err := NewClient("http://hub.test", "", "", transport(func(r *http.Request) (*http.Response, error) {
		if _, there := r.Header["Authorization"]; there {
			t.Error("a credential was sent though there is none")
		}
		return respond(422, `{"title":"x","detail":"d","errors":[{"pointer":"/a","detail":"b"}]}`), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Do(t.Context(), Call{Method: "GET", Path: "/x"})
	if e, ok := err.(*APIError); !ok || len(e.Fields) != 1 || e.Fields[0] != (hub.Field{Pointer: "/a", Detail: "b"}) {
		t.Errorf("got %#v", err)
	}
}
