package webhook_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/sign"
	"github.com/tocsin/tocsin/relay/webhook"
)

func TestCheck(t *testing.T) {
	minutes := func(n int) hub.Duration { return hub.Duration(time.Duration(n) * time.Minute) }
	tests := []struct {
		name string
		edit func(e *hub.Endpoint)
		want string // pointers of the faults
	}{
		{"good", func(*hub.Endpoint) {}, ""},
		{"pair beside the secret", func(e *hub.Endpoint) { e.Secrets.Signing = append(e.Secrets.Signing, secret(sign.NewPair())) }, ""},
		{"pair alone", func(e *hub.Endpoint) { e.Secrets.Signing = []hub.SigningSecret{secret(sign.NewPair())} }, "/secret"},
		{"no secret", func(e *hub.Endpoint) { e.Secrets.Signing = nil }, "/secret"},
		{"bad secret", func(e *hub.Endpoint) { e.Secrets.Signing[0].Text = "whsec_AAAA" }, "/secret"},
		{"header of the hub", func(e *hub.Endpoint) { e.Headers = map[string]string{"Webhook-Anything": "x"} }, "/headers/Webhook-Anything"},
		{"header of HTTP", func(e *hub.Endpoint) { e.Headers = map[string]string{"transfer-encoding": "x"} }, "/headers/transfer-encoding"},
		{"header with a slash", func(e *hub.Endpoint) { e.Headers = map[string]string{"a/b": "x"} }, "/headers/a~1b"},
		{"header with a line end", func(e *hub.Endpoint) { e.Headers = map[string]string{"X-A": "x\r\nX-B: y"} }, "/headers/X-A"},
		{"header without a name", func(e *hub.Endpoint) { e.Headers = map[string]string{"": "x"} }, "/headers/"},
		{"long value", func(e *hub.Endpoint) { e.Headers = map[string]string{"X-A": strings.Repeat("x", 9000)} }, "/headers/X-A"},
		{"tab and UTF-8", func(e *hub.Endpoint) { e.Headers = map[string]string{"X-A": "a\tü"} }, ""},
		{"signing over a standard header", func(e *hub.Endpoint) { e.Signing = scheme("hex", "webhook-signature", "") }, "/signing/0/header"},
		{"signing over the content type", func(e *hub.Endpoint) { e.Signing = scheme("hex", "content-type", "") }, "/signing/0/header"},
		{"unknown signing", func(e *hub.Endpoint) { e.Signing = scheme("md5", "X-A", "") }, "/signing/0/type"},
		{"signing twice", func(e *hub.Endpoint) {
			e.Signing = append(scheme("hex", "X-A", ""), scheme("timestamped", "x-a", "")...)
		}, "/signing/1/header"},
		{"bad prefix", func(e *hub.Endpoint) { e.Signing = scheme("hex", "X-A", "a\n") }, "/signing/0/prefix"},
		{"long time limit", func(e *hub.Endpoint) { e.Timeout = minutes(6) }, "/timeout"},
		{"negative time limit", func(e *hub.Endpoint) { e.Timeout = -1 }, "/timeout"},
		{"negative rate", func(e *hub.Endpoint) { e.RateLimit = -1 }, "/rate_limit"},
		{"ordering", func(e *hub.Endpoint) { e.Ordering = "fifo" }, "/ordering"},
		{"schedule", func(e *hub.Endpoint) { e.Retry = &hub.RetryPolicy{Schedule: []hub.Duration{minutes(1), 0}} }, "/retry/schedule/1"},
		{"schedule and growth", func(e *hub.Endpoint) {
			e.Retry = &hub.RetryPolicy{Schedule: []hub.Duration{minutes(1)}, Initial: minutes(1)}
		}, "/retry/schedule"},
		{"growth", func(e *hub.Endpoint) {
			e.Retry = &hub.RetryPolicy{Initial: minutes(1), Factor: 2, Max: minutes(9), Attempts: 5}
		}, ""},
		{"growth without an end", func(e *hub.Endpoint) { e.Retry = &hub.RetryPolicy{Initial: minutes(1)} }, "/retry/attempts"},
		{"shrinking", func(e *hub.Endpoint) {
			e.Retry = &hub.RetryPolicy{Initial: minutes(2), Factor: 0.5, Max: minutes(1), Attempts: 5}
		}, "/retry/factor /retry/max"},
		{"one attempt", func(e *hub.Endpoint) { e.Retry = &hub.RetryPolicy{Attempts: 1} }, ""},
		{"jitter", func(e *hub.Endpoint) { e.Retry = &hub.RetryPolicy{Jitter: new(1.5)} }, "/retry/jitter"},
	}
	for _, tt := range tests {
		e := &hub.Endpoint{Secrets: hub.EndpointSecrets{Signing: []hub.SigningSecret{secret(newSecret)}}}
		tt.edit(e)
		var got []string
		for _, f := range webhook.Check(e) {
			got = append(got, f.Pointer)
			if f.Detail == "" || strings.Contains(f.Detail, "AAAA") {
				t.Errorf("%s: detail %q", tt.name, f.Detail)
			}
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func secret(text string) hub.SigningSecret { return hub.SigningSecret{Text: text} }

func scheme(kind, header, prefix string) []hub.SigningScheme {
	return []hub.SigningScheme{{Type: kind, Header: header, Prefix: prefix}}
}
