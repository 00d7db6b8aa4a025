package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/pipelines/dedup"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func opened(t testing.TB, config string) *Source {
	t.Helper()
	s, err := Open(connectortest.Settings("name: w\nkind: webhook\n" + config))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const plainMap = "map: {type: custom, asset_id: '${{ input.host }}', severity: '${{ input.sev }}', source_id: '${{ input.id }}'}\n"

// TestCases reads each case with the config beside it.
func TestCases(t *testing.T) {
	folders, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(folders) < 5 {
		t.Fatalf("%d cases, %v", len(folders), err)
	}
	for _, folder := range folders {
		config, err := os.ReadFile(filepath.Join(folder, "config.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		s := opened(t, string(config))
		connectortest.Folder(t, *update, folder, func(in []byte) (connectors.Batch, error) {
			return s.read(in, map[string]string{"x-event": "alert"})
		})
	}
}

func FuzzRead(f *testing.F) {
	config := "auth: none\nitems: /a/*/b\n" + plainMap
	one, many := opened(f, "auth: none\n"+plainMap), opened(f, config)
	for _, in := range []string{`{"host":"h","sev":"low","id":1}`, `[{"host":"h"},7]`, "{\"host\":\"h\",\"sev\":7,\"id\":\"x\"}\n{", `{"a":[{"b":[{"host":"h","sev":"low","id":1}]},{"b":null}]}`, `{"a":{"x":{"b":{}}}}`} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, s := range []*Source{one, many} {
			b, err := s.read(in, nil)
			if err != nil && (hub.KindOf(err) == hub.Internal || len(b.Findings) > 0) {
				t.Errorf("%d findings, %v", len(b.Findings), err)
			}
			for _, f := range b.Findings {
				if f.SourceID == "" || f.AssetID == "" || !f.Severity.Valid() || !f.Raw.IsValid() || f.Payload.Kind() != '{' {
					t.Errorf("%q became %+v", in, f)
				}
			}
		}
	})
}

const item = `{"host":"h","sev":"low","id":1}`

func TestGuarded(t *testing.T) { connectortest.Guarded(t, Kind(), plainMap, []byte(item), 1) }

func mac(key, text string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// TestSignatures runs the kit for signatures over the body.
func TestSignatures(t *testing.T) {
	const raw = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	key, err := base64.StdEncoding.DecodeString(raw[6:])
	if err != nil {
		t.Fatal(err)
	}
	stamp := fmt.Sprint(time.Now().Unix())
	for config, push := range map[string]connectortest.Push{
		"auth: hmac\nsecret: k\nheader: X-Sig\n": {
			Header: http.Header{"X-Sig": {hex.EncodeToString(mac("k", item))}}, Signed: "X-Sig",
		},
		"auth: github\nsecret: k\n": {
			Header: http.Header{"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac("k", item))}}, Signed: "X-Hub-Signature-256",
		},
		"auth: timestamped\nsecret: k\n": {
			Header: http.Header{"Stripe-Signature": {"t=" + stamp + ",v1=" + hex.EncodeToString(mac("k", stamp+"."+item))}}, Signed: "Stripe-Signature",
		},
		"auth: standard_webhooks\nsecret: " + raw + "\n": {
			Header: http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac(string(key), "msg_1."+stamp+"."+item))}},
			Signed: "Webhook-Signature",
		},
	} {
		push.Name, push.Body, push.Want = strings.Split(config, "\n")[0], []byte(item), 1
		connectortest.Receive(t, opened(t, config+plainMap), push)
	}
}

// A request that is sent again gives the same finding, which is a duplicate for
// the hub; one that is sent again too late is refused.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, "auth: timestamped\nsecret: k\ntolerance: 1m\n"+plainMap)
		stamp := fmt.Sprint(time.Now().Unix())
		r := connectors.Request{Body: []byte(item), Header: http.Header{"Stripe-Signature": {"t=" + stamp + ",v1=" + hex.EncodeToString(mac("k", stamp+"."+item))}}}
		first, err1 := s.Receive(t.Context(), r)
		time.Sleep(59 * time.Second)
		again, err2 := s.Receive(t.Context(), r)
		if err1 != nil || err2 != nil || dedup.DeliveryKey(&first.Findings[0]) != dedup.DeliveryKey(&again.Findings[0]) {
			t.Errorf("%v, %v, %+v, %+v", err1, err2, first, again)
		}
		time.Sleep(2 * time.Second)
		if _, err := s.Receive(t.Context(), r); hub.KindOf(err) != hub.Unauthorized {
			t.Errorf("a minute later: %v", err)
		}
	})
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		items, body string
		want        string // source ids
		rejects     int
	}{
		{"", `{"host":"h","sev":1,"id":1}`, "1", 0},
		{"", `[{"host":"h","sev":1,"id":1},{"host":"h","sev":1,"id":2}]`, "1 2", 0},
		{"", "{\"host\":\"h\",\"sev\":1,\"id\":1}\n{\"host\":\n{\"host\":\"h\",\"sev\":1,\"id\":3}\n", "1 3", 1},
		{"/a", `{"a":[{"host":"h","sev":1,"id":1},7,{"host":"h","sev":1,"id":2}]}`, "1 2", 1},
		{"/a", `{"a":{"host":"h","sev":1,"id":1}}`, "1", 0},
		{"/a", `{"a":[]}`, "", 0},
		{"/a", `{"a":null}`, "", 0},
		{"/a", `{"b":[]}`, "", 1},
		{"/a", `[]`, "", 1},
		{"/a/0", `{"a":[[{"host":"h","sev":1,"id":1}],[{"host":"h","sev":1,"id":2}]]}`, "1", 0},
		{"/a~1b", `{"a/b":[{"host":"h","sev":1,"id":1}]}`, "1", 0},
		{"/h/*/f", `{"h":[{"f":[{"host":"h","sev":1,"id":1}]},{"g":1},{"f":{"host":"h","sev":1,"id":2}}]}`, "1 2", 0},
		{"/h/*/f", `{"h":{"x":{"f":[{"host":"h","sev":1,"id":1}]},"y":{"f":[]}}}`, "1", 0},
		{"/h/*/f", `{"h":[]}`, "", 0},
		{"/h/*/f", `{"h":7}`, "", 1},
		{"/h/*/f", `{"h":[{"g":1}]}`, "", 1},
		{"/*", `[{"host":"h","sev":1,"id":1}]`, "1", 0},
		{"/a", `{"a":[{"host":"h","host":"i","sev":1,"id":1},{"host":"h","sev":1,"id":2}]}`, "2", 1},
	} {
		s := opened(t, "auth: none\nitems: "+fmt.Sprintf("%q", c.items)+"\n"+plainMap)
		b, err := s.read([]byte(c.body), nil)
		var ids []string
		for _, f := range b.Findings {
			ids = append(ids, f.SourceID)
		}
		if err != nil || strings.Join(ids, " ") != c.want || len(b.Rejects) != c.rejects {
			t.Errorf("%q of %s: %v, %+v, %v; want %s and %d rejects", c.items, c.body, ids, b.Rejects, err, c.want, c.rejects)
		}
	}
	s := opened(t, "auth: none\nitems: /a\n"+plainMap)
	if _, err := s.read([]byte("{"), nil); hub.KindOf(err) != hub.Malformed {
		t.Errorf("broken: %v", err)
	}
}

func TestRejects(t *testing.T) {
	config := "auth: none\nwhen: '!input.?test.orValue(false)'\n" +
		"map: {type: '${{ input.t }}', asset_id: '${{ input.a }}', severity: '${{ input.s }}', status: '${{ input.st }}', source_id: '${{ input.id }}', observed_at: '${{ input.at }}', risk_score: '${{ input.r }}'}\n" +
		"words: {type: {Lücke: vulnerability}, severity: {sev1: critical}, status: {gone: resolved}}\n"
	s := opened(t, config)
	for in, want := range map[string]string{
		`{"t":"xss","a":"h","s":"high","st":"open","id":"1","at":0,"r":1}`:                          "",
		`{"t":"Lücke","a":"h","s":"sev1","st":"gone","id":1,"at":"2026-05-01T10:00:00Z","r":"7.5"}`: "",
		`{"t":"XSS","a":"h","s":9.8,"st":"CLOSED","id":true}`:                                       "",
		`{"a":"h","s":"high","st":"open","id":"1"}`:                                                 "map.type: no such key",
		`{"t":"other","a":"h","s":"high","st":"open","id":"1"}`:                                     "map.type: \"other\" is none of",
		`{"t":"xss","a":"","s":"high","st":"open","id":"1"}`:                                        "map.asset_id: gives nothing",
		`{"t":"xss","a":null,"s":"high","st":"open","id":"1"}`:                                      "map.asset_id: gives nothing",
		`{"t":"xss","a":"h","s":"dire","st":"open","id":"1"}`:                                       "map.severity: \"dire\" is no severity",
		`{"t":"xss","a":"h","s":11,"st":"open","id":"1"}`:                                           "map.severity",
		`{"t":"xss","a":"h","s":"high","st":"maybe","id":"1"}`:                                      "map.status: \"maybe\" is neither",
		`{"t":"xss","a":"h","s":"high","st":"open","id":""}`:                                        "map.source_id: gives nothing",
		`{"t":"xss","a":"h","s":"high","st":"open"}`:                                                "map.source_id",
		`{"test":7}`: "when: ",
		`{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`: "nested deeper",
	} {
		b, err := s.read([]byte(in), nil)
		switch {
		case err != nil:
			t.Errorf("%s: %v", in, err)
		case want == "" && (len(b.Findings) != 1 || len(b.Rejects) > 0):
			t.Errorf("%s: %+v", in, b)
		case want != "" && (len(b.Rejects) != 1 || !strings.Contains(b.Rejects[0].Error, want)):
			t.Errorf("%.60s: %+v, want %q", in, b, want)
		}
	}
	if b, err := s.read([]byte(`{"test":true}`), nil); err != nil || len(b.Findings)+len(b.Rejects) > 0 {
		t.Errorf("passed over: %+v, %v", b, err)
	}
	b, _ := s.read([]byte(`{"t":"xss","a":"h","s":"high","st":"open","id":"1","at":"soon","r":101}`), nil)
	if got := b.Findings[0].Labels["webhook_unmapped"]; got != "observed_at,risk_score" {
		t.Errorf("unmapped %q", got)
	}
}

func TestHeadersAndIgnore(t *testing.T) {
	s := opened(t, "auth: token\nsecret: k\nheaders: [X-Event]\nignore: headers[?\"x-event\"].orValue(\"\") == \"ping\"\n"+
		"map: {type: custom, asset_id: a, severity: low, title: '${{ headers[\"x-event\"] }}', description: '${{ headers[\"authorization\"] }}'}\n")
	get := func(event, body string) connectors.Batch {
		b, err := s.Receive(t.Context(), connectors.Request{Header: http.Header{"Authorization": {"Bearer k"}, "X-Event": {event}}, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := get("alert", `{}`)
	if f := b.Findings[0]; f.Title != "alert" || f.Description != "" || f.Labels["webhook_unmapped"] != "description" {
		t.Errorf("%+v", f)
	}
	if b := get("ping", `{}`); len(b.Findings)+len(b.Rejects) > 0 {
		t.Errorf("a ping gives %+v", b)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	for config, want := range map[string]string{
		"auth: none\n": "map.type: is required",
		"auth: none\nmap: {type: custom, asset_id: a, severity: grave}\n":                          `map.severity: "grave" is no severity`,
		"auth: none\nmap: {type: oops, asset_id: a, severity: low}\n":                              `map.type: "oops" is none of`,
		"auth: none\nmap: {type: custom, asset_id: a, severity: '${{ item.x }}'}\n":                "map.severity: ",
		"auth: none\nmap: {type: custom, asset_id: a, severity: low, title: '${{ '}\n":             "map.title: ",
		"auth: none\nmap: {type: custom, asset_id: a, severity: low, risk_score: lots}\n":          "map.risk_score: is no number",
		"auth: none\nmap: {type: custom, asset_id: a, severity: low, labels: {x: '${{ }}'}}\n":     "map.labels.x: ",
		"auth: none\nitems: alerts\nmap: {type: custom, asset_id: a, severity: low}\n":             "items: ",
		"auth: none\nwhen: input.x +\nmap: {type: custom, asset_id: a, severity: low}\n":           "when: ",
		"auth: none\nignore: '\"text\"'\nmap: {type: custom, asset_id: a, severity: low}\n":        "ignore: gives string",
		"auth: none\nmap: {type: custom, asset_id: a, severity: low}\nwords: {severity: {a: b}}\n": `words.severity.a: "b" is none of`,
		"map: {type: custom, asset_id: a, severity: low}\n":                                        "auth: is required",
	} {
		if _, err := Open(connectortest.Settings("name: w\nkind: webhook\n" + config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
}

func TestCasesAreRun(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("body.json", `{"host":"f","sev":"high","id":"9"}`)
	write("good.yaml", `
- name: one
  headers: {X-Event: alert}
  body: {host: h, sev: low, id: 1}
  findings: [{source_id: "1", severity: low, labels: {event: alert}}]
- name: a file, and lines
  body_file: body.json
  findings: [{asset_id: f}]
- body_text: "{\"host\":\"h\",\"sev\":\"low\",\"id\":1}\n{\"host\":\"h\",\"sev\":\"odd\",\"id\":2}\n"
  findings: [{}]
  rejects: [map.severity]
`)
	config := "auth: none\nheaders: [x-event]\ncases: " + folder + "\nmap: {type: custom, asset_id: '${{ input.host }}', severity: '${{ input.sev }}', source_id: '${{ input.id }}', labels: {event: '${{ headers[\"x-event\"] }}'}}\n"
	s := opened(t, config)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("good cases: %v", err)
	}
	write("zbad.yaml", `
- name: wrong
  body: {host: h, sev: low, id: 1}
  findings: [{severity: high, labels: {event: x}}]
- name: too few
  body: [{host: h, sev: low, id: 1}, {host: h, sev: odd, id: 2}]
  findings: []
  rejects: [map.severity, another]
- name: broken
  body_text: "{"
  findings: []
`)
	err := s.Check(t.Context())
	if err == nil {
		t.Fatal("bad cases pass")
	}
	for _, want := range []string{
		`wrong: finding 0.severity is "low", want "high"`, `wrong: finding 0.labels.event is not there, want "x"`,
		"too few: gives 1 findings, want 0", `too few: nothing is rejected for "another"`, "broken: the request is refused",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if bytes.Count([]byte(err.Error()), []byte("\n")) != 4 {
		t.Errorf("%v", err)
	}
	for _, path := range []string{folder + "/none", t.TempDir()} {
		if err := opened(t, strings.Replace(config, folder, path, 1)).Check(t.Context()); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
	write("zbad.yaml", "- name: x\n  wants: []\n")
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "wants") {
		t.Errorf("an unknown key: %v", err)
	}
}
