package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
)

const testSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

const testPair = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// good has a right value for every field of an endpoint.
var good = map[string]string{
	"name": "a", "description": "x", "enabled": "true", "url": "https://a.example", "api_url": "https://b.example",
	"events": "[alert.*]", "filter": "x", "transform": "x", "headers": "{X-A: b}", "secret": testSecret, "key_pair": testPair,
	"signing": "[{type: hex, header: X-B}]", "ordering": "key", "rate_limit": "1", "timeout": "1s",
	"retry": "{schedule: [1s]}", "channel": `"#c"`, "bot_token": "xoxb-1", "signing_secret": "s1", "routing_key": strings.Repeat("a", 32),
	"namespace": "a.b_1", "setup": "false", "api_key": "a2V5", "username": "u", "password": "p",
	"host": "mail.example", "port": "2525", "tls": "tls", "from": "a@b.example", "to": "[c@d.example]", "digest": "1h", "templates": "{KIND: x}",
	"webhook_secrets": "[s1, s2]", "pipeline": "false", "streams": "[alerts]", "retention": "{alerts: 365d, audit: 36h}",
}

// least are the fields that suffice for each kind.
var least = map[string][]string{
	"webhook":       {"url", "secret"},
	"slack":         {"bot_token", "channel"},
	"pagerduty":     {"routing_key"},
	"email":         {"host", "from", "to"},
	"elasticsearch": {"url"},
}

func endpointText(kind string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "endpoints:\n  - name: a\n    kind: %s\n", kind)
	for _, f := range fields {
		value := good[f]
		if names := templateNames(kind); len(names) > 0 {
			value = strings.Replace(value, "KIND", names[0], 1)
		}
		fmt.Fprintf(&b, "    %s: %s\n", f, value)
	}
	return b.String()
}

// TestFieldsOfEachKind tries every field with every kind.
func TestFieldsOfEachKind(t *testing.T) {
	fields := fieldsOf(endpointType)
	for kind, needed := range least {
		checkProblems(t, endpointText(kind, needed...), nil, "")
		rule := kindRules[slices.IndexFunc(kindRules[:], func(r kindRule) bool { return r.kind == kind })]
		for _, f := range fields {
			if good[f.name] == "" && f.name != "kind" {
				t.Fatalf("field %s has no good value", f.name)
			}
			if rule.takes(f.name) || slices.Contains(needed, f.name) {
				continue
			}
			text := endpointText(kind, append(slices.Clone(needed), f.name)...)
			line := 4 + len(needed)
			got := problemsOf(t, text)
			want := fmt.Sprintf("%d: endpoints[0].%s: an endpoint of kind %s does not take this; remove it", line, f.name, kind)
			if len(got) == 0 || !slices.Contains(got, want) {
				t.Errorf("%s with %s: got %q, want %q", kind, f.name, got, want)
			}
		}
		for _, f := range rule.required {
			rest := slices.DeleteFunc(slices.Clone(needed), func(n string) bool { return n == f })
			got := problemsOf(t, endpointText(kind, rest...))
			want := fmt.Sprintf("2: endpoints[0].%s: is missing; an endpoint of kind %s needs it", f, kind)
			if len(got) != 1 || !strings.HasPrefix(got[0], want) {
				t.Errorf("%s without %s: got %q, want %q", kind, f, got, want)
			}
		}
	}
}

// TestRulesNameRealFields finds slips in the table, and fields no kind takes.
func TestRulesNameRealFields(t *testing.T) {
	known := names(fieldsOf(endpointType))
	used := slices.Clone(commonFields[:])
	for _, r := range kindRules {
		used = append(append(used, r.required...), r.optional...)
		for _, pair := range r.either {
			used = append(used, pair[:]...)
		}
	}
	for _, f := range used {
		if !slices.Contains(known, f) {
			t.Errorf("there is no field %s", f)
		}
	}
	for _, f := range known {
		if !slices.Contains(used, f) {
			t.Errorf("no kind takes %s", f)
		}
	}
	kinds := fieldsOf(endpointType)[find(fieldsOf(endpointType), "kind")].enum
	if len(kinds) != len(kindRules) {
		t.Errorf("%d kinds and %d rules", len(kinds), len(kindRules))
	}
}

func TestEndpointProblems(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "{}", "2: endpoints[0].kind: is missing; write webhook, slack, pagerduty, email or elasticsearch\n2: endpoints[0].name: is missing; give a name that is unique, such as soc"},
		{"a text", "x", `2: endpoints[0]: must be keys with values, one "key: value" a line`},
		{"misspelt", "{name: a, kind: slack, url: 'https://a.example', event: [x]}", "2: endpoints[0].event: unknown key; did you mean events?"},
		{"names", "{name: a, kind: slack, url: 'https://a.example'}\n  - {name: a, kind: slack, url: 'https://a.example'}\n  - {name: A.b, kind: slack, url: 'https://a.example'}", `3: endpoints[1].name: "a" is the name of endpoints[0] already; give each its own
4: endpoints[2].name: "A.b" is not a name; write 1 to 63 of a-z, 0-9, - and _, starting with a letter or digit`},
		{"enabled", "{name: a, kind: slack, url: 'https://a.example', enabled: maybe}", `2: endpoints[0].enabled: "maybe" is neither true nor false`},
		{"url", "{name: a, kind: slack, url: ftp://a.example}", "2: endpoints[0].url: is not an http or https address; write for example https://hooks.example.com/tocsin"},
		{"relative url", "{name: a, kind: slack, url: a.example/x}", "2: endpoints[0].url: is not an http or https address; write for example https://hooks.example.com/tocsin"},
		{"url with password", "{name: a, kind: slack, url: 'https://u:geheim@a.example'}", "2: endpoints[0].url: has a user name or password in it; put them in the fields meant for them"},
		{"url with fragment", "{name: a, kind: slack, url: 'https://a.example/#x'}", "2: endpoints[0].url: has a # in it; write the address without that and what follows"},
		{"url with port", "{name: a, kind: slack, url: 'https://a.example:70000/'}", "2: endpoints[0].url: has no host or an impossible port; write for example https://hooks.example.com/tocsin"},
		{"url without host", "{name: a, kind: slack, url: 'https://:80/'}", "2: endpoints[0].url: has no host or an impossible port; write for example https://hooks.example.com/tocsin"},
		{"slack: neither", "{name: a, kind: slack}", "2: endpoints[0].url: is missing; an endpoint of kind slack needs url or bot_token"},
		{"slack: both", "{name: a, kind: slack, url: 'https://a.example', bot_token: x, channel: C1}", "2: endpoints[0].bot_token: there is url as well; keep one of the two"},
		{"slack: bot without channel", "{name: a, kind: slack, bot_token: x}", `2: endpoints[0].bot_token: needs to know where to post; add channel, such as "#security"`},
		{"slack: hook with channel", "{name: a, kind: slack, url: 'https://a.example', channel: C1}", "2: endpoints[0].channel: is not for an incoming webhook, which posts to its own; remove this, or use bot_token in place of url"},
		{"slack: signing secret", "{name: a, kind: slack, bot_token: x, channel: C1, signing_secret: 'a b'}", "2: endpoints[0].signing_secret: is not the signing secret of an app; give it without spaces or line breaks"},
		{"slack: hook with signing secret", "{name: a, kind: slack, url: 'https://a.example', signing_secret: x}", "2: endpoints[0].signing_secret: is of no use to an incoming webhook, whose messages have no buttons; remove this, or use bot_token in place of url"},
		{"slack: token", "{name: a, kind: slack, bot_token: 'x y', channel: C1}", "2: endpoints[0].bot_token: is not a token; give it without spaces or line breaks"},
		{"pagerduty: key", "{name: a, kind: pagerduty, routing_key: short}", "2: endpoints[0].routing_key: is not an integration key; PagerDuty's have 32 letters and digits"},
		{"elastic: namespace", "{name: a, kind: elasticsearch, url: 'https://a.example', namespace: Prod-1}", `2: endpoints[0].namespace: "Prod-1" is not a namespace; write 1 to 100 of a-z, 0-9, _ and ., no -`},
		{"elastic: no streams", "{name: a, kind: elasticsearch, url: 'https://a.example', streams: []}", "2: endpoints[0].streams: is empty; name what is written, or set enabled: false"},
		{"elastic: a stream twice", "{name: a, kind: elasticsearch, url: 'https://a.example', streams: [audit, audit]}", "2: endpoints[0].streams: names one twice; give each once"},
		{"email: host with a port", "{name: a, kind: email, host: 'a:25', from: a@b.example, to: [c@d.example]}", "2: endpoints[0].host: must be the name or address alone, such as smtp.example.com; the port stands in port"},
		{"email: addresses", "{name: a, kind: email, host: a, from: nobody, to: [c@d.example, x]}", "2: endpoints[0].from: is no mail address; write soc@example.com or SOC <soc@example.com>\n2: endpoints[0].to[1]: is no mail address; write soc@example.com or SOC <soc@example.com>"},
		{"email: password in the clear", "{name: a, kind: email, host: a, from: a@b.example, to: [c@d.example], tls: none, username: u, password: p}", "2: endpoints[0].tls: none would send the password in the clear; write starttls or tls, or leave username out"},
		{"email: digest", "{name: a, kind: email, host: a, from: a@b.example, to: [c@d.example], digest: 5s}", "2: endpoints[0].digest: is too short; write 1m or longer"},
		{"email: template", "{name: a, kind: email, host: a, from: a@b.example, to: [c@d.example], templates: {text: x}}", "2: endpoints[0].templates.text: an endpoint of kind email has no such text; it has subject, title, body"},
		{"pagerduty: webhook secret", "{name: a, kind: pagerduty, routing_key: 0123456789abcdef0123456789abcdef, webhook_secrets: [a, 'b c']}", "2: endpoints[0].webhook_secrets[1]: is not the secret of a webhook subscription; give it without spaces or line breaks"},
		{"elastic: two logins", "{name: a, kind: elasticsearch, url: 'https://a.example', api_key: k, username: u, password: p}", "2: endpoints[0].api_key: there are username or password as well; keep one way to log in"},
		{"elastic: half a login", "{name: a, kind: elasticsearch, url: 'https://a.example', username: u}\n  - {name: b, kind: elasticsearch, url: 'https://a.example', password: p}", "2: endpoints[0].username: has no password; add it, or use api_key\n3: endpoints[1].password: has no username; add it, or use api_key"},
		{"secret: other form", "{name: a, kind: webhook, url: 'https://a.example', secret: geheim}", "2: endpoints[0].secret: is not a signing secret; write whsec_ and 24 to 64 random bytes in base64"},
		{"secret: too short", "{name: a, kind: webhook, url: 'https://a.example', secret: whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY=}", "2: endpoints[0].secret: is not a signing secret; write whsec_ and 24 to 64 random bytes in base64"},
		{"events", "{name: a, kind: slack, url: 'https://a.example', events: [alert.*, alert.creatd, '']}", `2: endpoints[0].events[1]: "alert.creatd" matches no event type; use one such as alert.created or alert.* or *
2: endpoints[0].events[2]: "" matches no event type; use one such as alert.created or alert.* or *`},
		{"ordering", "{name: a, kind: slack, url: 'https://a.example', ordering: strict}", `2: endpoints[0].ordering: "strict" is none of none, key`},
		{"rate limit", "{name: a, kind: slack, url: 'https://a.example', rate_limit: -1}", `2: endpoints[0].rate_limit: "-1" is out of range; write 0 to 100000`},
		{"timeout", "{name: a, kind: slack, url: 'https://a.example', timeout: 1h}", `2: endpoints[0].timeout: "1h" is out of range; write 100ms to 5m`},
		{"headers", "{name: a, kind: webhook, url: 'https://a.example', secret: " + testSecret + ", headers: {'X Y': a, Webhook-ID: b, X-C: \"a\\r\\nX-D: b\", X-E: [1]}}", `2: endpoints[0].headers.X-E: must be one value (secret), not a list or keys with values
2: endpoints[0].headers["X Y"]: is not the name of a header; write for example X-Signature
2: endpoints[0].headers.Webhook-ID: is a header that the hub sets itself; choose another
2: endpoints[0].headers.X-C: the value has a line break or control character in it; remove it`},
		{"signing", "name: a\n    kind: webhook\n    url: https://a.example\n    secret: " + testSecret + "\n    signing:\n      - {}\n      - {type: hex, header: x-a}\n      - {type: hex, header: X-A}\n      - {type: md5, header: 'a b'}\n      - {type: hex, header: X-B, prefix: 'ü'}\n      - {type: hex, header: host}", `7: endpoints[0].signing[0].header: is missing; write for example X-CV-Signature
7: endpoints[0].signing[0].type: is missing; write hex or timestamped
9: endpoints[0].signing[2].header: is used twice; give each signature its own header
10: endpoints[0].signing[3].header: is not the name of a header; write for example X-Signature
10: endpoints[0].signing[3].type: "md5" is none of hex, timestamped
11: endpoints[0].signing[4].prefix: must be printable ASCII, such as sha256=
12: endpoints[0].signing[5].header: is a header that the hub sets itself; choose another`},
		{"retry: both", "{name: a, kind: slack, url: 'https://a.example', retry: {schedule: [1s], attempts: 2}}", "2: endpoints[0].retry.schedule: there are initial, factor, max or attempts as well; use schedule alone, or those without it"},
		{"retry: no start", "{name: a, kind: slack, url: 'https://a.example', retry: {attempts: 2}}", "2: endpoints[0].retry.initial: is missing; write the first wait, such as 5s"},
		{"retry: no end", "{name: a, kind: slack, url: 'https://a.example', retry: {initial: 2s}}", "2: endpoints[0].retry.attempts: is missing; write how many attempts there are in all, such as 10"},
		{"retry: shrinks", "{name: a, kind: slack, url: 'https://a.example', retry: {initial: 2s, max: 1s, attempts: 3}}", "2: endpoints[0].retry.max: is less than initial; write a longer time"},
		{"retry: factor", "{name: a, kind: slack, url: 'https://a.example', retry: {initial: 2s, factor: 0.5, attempts: 3, jitter: 2}}", "2: endpoints[0].retry.factor: \"0.5\" is out of range; write 1 to 100\n2: endpoints[0].retry.jitter: \"2\" is out of range; write 0 to 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := problemsOf(t, "endpoints:\n  - "+c.text+"\n")
			want := strings.Split(c.want, "\n")
			slices.Sort(got) // on one line their order means little
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// problemsOf loads text and gives the problems without the name of the file.
func problemsOf(t *testing.T, text string) []string {
	t.Helper()
	path := write(t, text)
	_, err := Load(path, nil)
	var out []string
	for _, p := range asProblems(err) {
		out = append(out, strings.TrimPrefix(p.String(), path+":"))
	}
	return out
}

func TestEndpointInTheHubsTerms(t *testing.T) {
	c, err := Load(write(t, examples(t)), sampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	jitter := 0.1
	want := []hub.Endpoint{
		{
			Kind: hub.KindWebhook, Name: "siem-hook", URL: "https://siem.example.com/hooks/tocsin", Description: "for people", Enabled: true,
			Events: []string{"alert.*", "incident.created"}, Filter: `alert.severity_num >= severity_num("high")`, Transform: `{"text": alert.title}`,
			Headers:  map[string]string{"X-Team": "soc"},
			Signing:  []hub.SigningScheme{{Type: "hex", Header: "X-CV-Signature"}, {Type: "timestamped", Header: "X-Signature"}},
			Ordering: "none", Timeout: hub.Duration(15 * time.Second),
			Retry:   &hub.RetryPolicy{Schedule: []hub.Duration{hub.Duration(5 * time.Second), hub.Duration(5 * time.Minute)}, Jitter: &jitter},
			Secrets: hub.EndpointSecrets{Signing: []hub.SigningSecret{{Text: testSecret}, {Text: testPair}}},
		},
		{
			Kind: hub.KindWebhook, Name: "growing-waits", URL: "https://other.example.com/hooks/tocsin", Enabled: true, Ordering: "none",
			Retry:   &hub.RetryPolicy{Initial: hub.Duration(5 * time.Second), Factor: 2, Max: hub.Duration(time.Hour), Attempts: 12},
			Secrets: hub.EndpointSecrets{Signing: []hub.SigningSecret{{Text: testSecret}}},
		},
		{
			Kind: hub.KindSlack, Name: "soc-slack", Enabled: true, Ordering: "none", Events: []string{"alert.created", "alert.reopened", "alert.resolved"},
			Config:  map[string]string{"channel": "#security", "api_url": "https://slack.example.com/api/"},
			Secrets: hub.EndpointSecrets{Tokens: map[string]string{"bot_token": "xoxb-0-test", "signing_secret": "slack-signing-test"}},
		},
		{
			Kind: hub.KindPagerDuty, Name: "soc-pagerduty", Enabled: true, Ordering: "none", Events: []string{"alert.*"}, Filter: `alert.severity == "critical"`,
			Secrets: hub.EndpointSecrets{Tokens: map[string]string{"routing_key": "0123456789abcdef0123456789abcdef", "webhook_secrets": "pd-hook-test"}},
		},
		{
			Kind: hub.KindEmail, Name: "soc-email", Enabled: true, Ordering: "none", Events: []string{"alert.created", "alert.reopened", "alert.resolved"},
			Config: map[string]string{
				"host": "smtp.example.com", "port": "587", "tls": "starttls", "username": "tocsin", "from": "Tocsin <tocsin@example.com>", "to": "soc@example.com",
			},
			Templates: map[string]string{"subject": "[{{upper .alert.severity}}] {{.alert.title}}"},
			Secrets:   hub.EndpointSecrets{Tokens: map[string]string{"password": "mail-test"}},
		},
		{
			Kind: hub.KindElastic, Name: "siem", URL: "https://elasticsearch.example.com:9200", Enabled: true, Ordering: "none",
			Config:  map[string]string{"namespace": "default", "retention_alerts": "365d", "retention_findings": "30d", "retention_audit": "1095d"},
			Secrets: hub.EndpointSecrets{Tokens: map[string]string{"api_key": "aWQ6a2V5"}},
		},
		{
			Kind: hub.KindElastic, Name: "siem-test", URL: "http://elasticsearch.test:9200", Enabled: true, Ordering: "none",
			Config:  map[string]string{"username": "tocsin"},
			Secrets: hub.EndpointSecrets{Tokens: map[string]string{"password": "geheim"}},
		},
	}
	var got []hub.Endpoint
	for i := range c.Endpoints {
		got = append(got, c.Endpoints[i].Hub())
	}
	if diff := cmp.Diff(want, got, equateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	off := Endpoint{Kind: hub.KindElastic}
	if got := off.Hub().Config; got["setup"] != "false" || got["pipeline"] != "false" {
		t.Errorf("setup and pipeline: %v, want false", got)
	}
	some := Endpoint{Kind: hub.KindElastic, Streams: []string{"audit", "alerts"}, Retention: &Retention{Audit: 90 * time.Minute}}
	if got := some.Hub().Config; got["streams"] != "audit alerts" || got["retention_audit"] != "5400s" || got["retention_alerts"] != "" {
		t.Errorf("streams and retention: %v", got)
	}
}

// TestEveryEndpointFieldArrives sets one field after the other and looks for a
// difference in what the hub gets, so that none is forgotten on the way.
func TestEveryEndpointFieldArrives(t *testing.T) {
	for kind, needed := range least {
		rule := kindRules[slices.IndexFunc(kindRules[:], func(r kindRule) bool { return r.kind == kind })]
		plainOne := loadOne(t, endpointText(kind, needed...))
		for _, f := range rule.optional {
			if slices.Contains(needed, f) {
				continue
			}
			got := loadOne(t, endpointText(kind, append(slices.Clone(needed), f)...))
			if reflect.DeepEqual(got, plainOne) {
				t.Errorf("%s: %s does not reach the hub", kind, f)
			}
		}
	}
}

// loadOne gives the only endpoint of text, whether or not there are problems.
func loadOne(t *testing.T, text string) hub.Endpoint {
	t.Helper()
	c, _ := Load(write(t, text), nil)
	if len(c.Endpoints) != 1 {
		t.Fatalf("%d endpoints in\n%s", len(c.Endpoints), text)
	}
	return c.Endpoints[0].Hub()
}
