package app

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/tocsin/tocsin/hub"
	slacksim "github.com/tocsin/tocsin/test/sim/slack"
	smtpsim "github.com/tocsin/tocsin/test/sim/smtp"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A channelShape is a channel as the API shows it.
type channelShape struct {
	hub.Endpoint
	To       []string          `json:"to"`
	Origin   string            `json:"origin"`
	ReadOnly bool              `json:"read_only"`
	Secrets  map[string]string `json:"secrets"`
	Secret   string            `json:"secret"`
}

const channelsPath = "/api/v1/channels"

// channel makes a channel.
func (r *running) channel(body string) channelShape {
	r.t.Helper()
	return call[channelShape](r, "POST", channelsPath, body, 201)
}

// mailServer starts a mail server that speaks in the clear, and gives the settings
// of a channel at it.
func mailServer(t *testing.T, kind bool) (*smtpsim.Sim, string) {
	t.Helper()
	s, err := smtpsim.Start(smtpsim.Options{Options: unkind.Options{Kind: kind, Seed: 11}, NoTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, fmt.Sprintf(`"kind":"email","host":"127.0.0.1","port":%s,"tls":"none","from":"Tocsin <tocsin@hub.example>","to":["soc@example.com"]`, s.Port())
}

func TestChannels(t *testing.T) {
	dir := t.TempDir()
	const file = "endpoints:\n- {name: soar, kind: webhook, url: 'http://127.0.0.1:9/a', secret: whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}\n" +
		"- {name: filed, kind: slack, url: 'http://127.0.0.1:9/services/T0/B0/geheim'}\n"
	r := start(t, load(t, dir, file), withKey)
	for name, c := range map[string]struct{ body, secret, where string }{
		"slack":    {`"kind":"slack","bot_token":"xoxb-geheim","channel":"#soc"`, "bot_token", ""},
		"hook":     {`"kind":"slack","url":"http://127.0.0.1:9/services/T1/B1/geheim"`, "", "http://127.0.0.1:9/***"},
		"duty":     {`"kind":"pagerduty","routing_key":"geheim90123456789012345678901234"`, "routing_key", ""},
		"mail":     {`"kind":"email","host":"127.0.0.1","from":"a@b.example","to":["c@d.example","e@d.example"],"username":"u","password":"geheim"`, "password", ""},
		"siem":     {`"kind":"elasticsearch","url":"http://127.0.0.1:9","api_key":"geheim"`, "api_key", "http://127.0.0.1:9"},
		"receiver": {`"kind":"webhook","url":"http://127.0.0.1:9/x","headers":{"X-Token":"geheim"}`, "secret", "http://127.0.0.1:9/x"},
	} {
		made := r.channel(`{"name":"` + name + `",` + c.body + `}`)
		if !strings.HasPrefix(string(made.ID), "chn_") || made.Name != name || made.Origin != "api" || made.ReadOnly || !made.Enabled || made.Version != 1 {
			t.Errorf("%s is made as %+v", name, made)
		}
		if (made.Secret != "") != (name == "receiver") {
			t.Errorf("%s is made with the secret %q", name, made.Secret)
		}
		_, text := r.do("GET", channelsPath+"/"+string(made.ID), testKey, "")
		if strings.Contains(text, "geheim") || strings.Contains(text, "whsec_") {
			t.Errorf("a secret is shown: %s", text)
		}
		shown := call[channelShape](r, "GET", channelsPath+"/"+string(made.ID), "", 200)
		if c.secret != "" && shown.Secrets[c.secret] != "set" || shown.URL != c.where || name == "mail" && !slices.Equal(shown.To, []string{"c@d.example", "e@d.example"}) {
			t.Errorf("%s is shown as %s", name, text)
		}
		changed := call[channelShape](r, "PATCH", channelsPath+"/"+string(made.ID), `{"description":"x","events":["alert.*","endpoint.*"]}`, 200)
		if changed.Version != 2 || changed.Description != "x" || len(changed.Events) != 2 {
			t.Errorf("%s is changed to %+v", name, changed)
		}
	}
	names := func() (out []string) {
		for _, c := range call[struct {
			Data []channelShape `json:"data"`
		}](r, "GET", channelsPath, "", 200).Data {
			out = append(out, fmt.Sprint(c.Name, " ", c.ReadOnly))
		}
		slices.Sort(out)
		return out
	}
	want := []string{"duty false", "filed true", "hook false", "mail false", "receiver false", "siem false", "slack false"}
	if diff := cmp.Diff(want, names()); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	r.stop()
	r = start(t, load(t, dir, file), nil)
	if diff := cmp.Diff(want, names()); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	var hooks []string
	for _, e := range call[struct {
		Data []hub.Endpoint `json:"data"`
	}](r, "GET", "/api/v1/webhooks", "", 200).Data {
		hooks = append(hooks, e.Name)
	}
	if !slices.Equal(hooks, []string{"soar"}) {
		t.Errorf("webhooks are %v", hooks)
	}
	all := call[struct {
		Data []channelShape `json:"data"`
	}](r, "GET", channelsPath, "", 200).Data
	for _, c := range all {
		path := channelsPath + "/" + string(c.ID)
		for _, ask := range [][2]string{{"PATCH", `{"description":"y"}`}, {"DELETE", ""}} {
			status, answer := r.do(ask[0], path, testKey, ask[1])
			switch {
			case c.ReadOnly && (status != 409 || !strings.Contains(answer, "config file")):
				t.Errorf("%s of the config file's is answered %d %s", ask[0], status, answer)
			case !c.ReadOnly && status/100 != 2:
				t.Errorf("%s is answered %d %s", ask[0], status, answer)
			}
		}
		if status, _ := r.do("GET", path, testKey, ""); status == 404 == c.ReadOnly {
			t.Errorf("%s is answered %d at last", c.Name, status)
		}
	}
	if got := names(); !slices.Equal(got, []string{"filed true"}) {
		t.Errorf("left are %v", got)
	}
}

// Everything that is wrong is said, with its place.
func TestChannelsRefused(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	const mail = `"name":"a","kind":"email","host":"127.0.0.1","from":"a@b.example","to":["c@d.example"]`
	for _, c := range []struct{ body, pointer string }{
		{`{"name":"a"}`, "/kind"},
		{`{"name":"a","kind":"fax"}`, "/kind"},
		{`{` + mail + `,"colour":"red"}`, "/colour"},
		{`{"kind":"slack","url":"http://127.0.0.1/x"}`, "/name"},
		{`{"name":"a","kind":"slack"}`, "/url"},
		{`{"name":"a","kind":"slack","url":"http://127.0.0.1/x","bot_token":"x"}`, "/url"},
		{`{"name":"a","kind":"slack","bot_token":"x"}`, "/channel"},
		{`{"name":"a","kind":"slack","url":"http://127.0.0.1/x","headers":{"a":"b"}}`, "/headers"},
		{`{"name":"a","kind":"slack","url":"http://127.0.0.1/x","timeout":"1h"}`, "/timeout"},
		{`{"name":"a","kind":"slack","url":"http://127.0.0.1/x","events":["alrt.*"]}`, "/events/0"},
		{`{"name":"a","kind":"slack","url":"http://127.0.0.1/x","filter":"alert."}`, "/filter"},
		{`{"name":"a","kind":"slack","url":"ftp://127.0.0.1/x"}`, "/url"},
		{`{"name":"a","kind":"slack","bot_token":"x","channel":"#a","api_url":"http://10.0.0.1/"}`, "/api_url"},
		{`{"name":"a","kind":"pagerduty"}`, "/routing_key"},
		{`{"name":"a","kind":"pagerduty","routing_key":"short"}`, "/routing_key"},
		{`{"name":"a","kind":"elasticsearch"}`, "/url"},
		{`{"name":"a","kind":"elasticsearch","url":"http://169.254.169.254"}`, "/url"},
		{`{"name":"a","kind":"webhook"}`, "/url"},
		{`{"name":"a","kind":"webhook","url":"http://127.0.0.1/x","secret":"short"}`, "/secret"},
		{`{"name":"a","kind":"email","host":"10.0.0.1","from":"a@b.example","to":["c@d.example"]}`, "/host"},
		{`{"name":"a","kind":"email","from":"a@b.example","to":["c@d.example"]}`, "/host"},
		{`{"name":"a","kind":"email","host":"127.0.0.1","from":"a","to":["c@d.example"]}`, "/from"},
		{`{"name":"a","kind":"email","host":"127.0.0.1","from":"a@b.example","to":[]}`, "/to"},
		{`{"name":"a","kind":"email","host":"127.0.0.1","from":"a@b.example","to":["c@d.example\r\nBcc: x@y.example"]}`, "/to"},
		{`{` + mail + `,"username":"u"}`, "/password"},
		{`{` + mail + `,"tls":"none","username":"u","password":"p"}`, "/tls"},
		{`{` + mail + `,"digest":"1s"}`, "/digest"},
	} {
		status, answer := r.do("POST", channelsPath, testKey, c.body)
		if status != 422 || !strings.Contains(answer, `"pointer":"`+c.pointer+`"`) {
			t.Errorf("%s is answered %d %s, want 422 at %s", c.body, status, answer, c.pointer)
		}
	}
	if status, _ := r.do("GET", channelsPath+"/whk_1", testKey, ""); status != 404 {
		t.Errorf("a webhook's id is answered %d", status)
	}
}

// Who may change a channel, and may not see its secrets, cannot have them sent to
// himself.
func TestSecretsStayWhereTheyWereMeantFor(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	m := r.channel(`{"name":"m","kind":"email","host":"127.0.0.1","from":"a@b.example","to":["c@d.example"],"username":"u","password":"p1"}`)
	s := r.channel(`{"name":"s","kind":"slack","bot_token":"xoxb-1","channel":"#a"}`)
	h := r.channel(`{"name":"h","kind":"webhook","url":"http://127.0.0.1:9/x","headers":{"X-Token":"t"}}`)
	for _, c := range []struct {
		id      hub.EndpointID
		body    string
		pointer string
	}{
		{m.ID, `{"host":"127.0.0.2"}`, "/password"},
		{m.ID, `{"port":26}`, "/password"},
		{m.ID, `{"tls":"tls"}`, "/password"},
		{s.ID, `{"api_url":"http://127.0.0.1:9/"}`, "/bot_token"},
		{h.ID, `{"url":"http://127.0.0.1:9/y"}`, "/headers"},
	} {
		if status, answer := r.do("PATCH", channelsPath+"/"+string(c.id), testKey, c.body); status != 422 || !strings.Contains(answer, `"`+c.pointer+`"`) {
			t.Errorf("%s is answered %d %s", c.body, status, answer)
		}
	}
	call[any](r, "PATCH", channelsPath+"/"+string(m.ID), `{"host":"127.0.0.2","password":"p2"}`, 200)
	call[any](r, "PATCH", channelsPath+"/"+string(m.ID), `{"to":["other@d.example"]}`, 200)
}

// The same verdict in the same words at making, change, trial and delivery.
func TestChannelsRefusedAtEveryStepAlike(t *testing.T) {
	dns := &names{all: map[string][]netip.Addr{}}
	r := &running{t: t}
	a, err := New(t.Context(), Options{Config: load(t, t.TempDir(), ""), Log: slog.New(slog.DiscardHandler), Env: func(n string) string { return withKey[n] }, Out: &r.out, Resolver: dns})
	if err != nil {
		t.Fatal(err)
	}
	r.App = a
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	words := func(text, pointer string) string {
		var p struct {
			Errors []hub.Field `json:"errors"`
		}
		if json.Unmarshal([]byte(text), &p) != nil || len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("answered %s, want one fault at %s", text, pointer)
			return ""
		}
		return p.Errors[0].Detail
	}
	for name, c := range map[string]struct{ body, pointer string }{
		"email": {`"kind":"email","host":"far.example","from":"a@b.example","to":["c@d.example"]`, "/host"},
		"slack": {`"kind":"slack","url":"http://far.example/x"`, "/url"},
		"duty":  {`"kind":"pagerduty","routing_key":"01234567890123456789012345678901","api_url":"http://far.example/"`, "/api_url"},
	} {
		dns.set("far.example", "8.8.8.8")
		ch := r.channel(`{"name":"` + name + `",` + c.body + `}`)
		dns.set("far.example", "192.168.0.7")
		_, made := r.do("POST", channelsPath, testKey, `{"name":"other",`+c.body+`}`)
		_, changed := r.do("PATCH", channelsPath+"/"+string(ch.ID), testKey, `{"events":["alert.created"]}`)
		_, tried := r.do("POST", channelsPath+"/"+string(ch.ID)+"/test", testKey, "")
		want := words(made, c.pointer)
		if !strings.Contains(want, "refused (private)") || words(changed, c.pointer) != want || words(tried, c.pointer) != want {
			t.Errorf("%s: made %s\nchanged %s\ntried %s", name, made, changed, tried)
		}
		at, err := r.targets[ch.Kind].Send(t.Context(), r.rules.endpoint(ch.ID), &hub.Delivery{ID: "dlv_1", Kind: ch.Kind, Action: hub.ActionPost, Body: []byte(`{"type":"alert.created","subject":"alt_1"}`)})
		if err == nil || err.Error() != want {
			t.Errorf("%s: a delivery gives %v, %+v; want %s", name, err, at, want)
		}
	}
}

// Making a channel twice under one Idempotency-Key makes one; a name is there once;
// who may only read changes nothing; and all of it is in the audit log.
func TestChannelsByRight(t *testing.T) {
	r := start(t, load(t, t.TempDir(), ""), withKey)
	const body = `{"name":"a","kind":"webhook","url":"http://127.0.0.1:9/x"}`
	status, one := r.do("POST", channelsPath, testKey, body, "Idempotency-Key", "k1")
	_, two := r.do("POST", channelsPath, testKey, body, "Idempotency-Key", "k1")
	if status != 201 || one != two {
		t.Errorf("answered %d %s, then %s", status, one, two)
	}
	if status, _ := r.do("POST", channelsPath, testKey, strings.Replace(body, "/x", "/y", 1), "Idempotency-Key", "k1"); status != 409 {
		t.Errorf("another body under the same key is answered %d", status)
	}
	if status, answer := r.do("POST", channelsPath, testKey, body); status != 409 || !strings.Contains(answer, "named") {
		t.Errorf("the same name again is answered %d %s", status, answer)
	}
	var made channelShape
	if err := json.Unmarshal([]byte(one), &made); err != nil {
		t.Fatal(err)
	}
	viewer := call[struct {
		Key string `json:"key"`
	}](r, "POST", "/api/v1/api-keys", `{"name":"v","role":"viewer"}`, 201).Key
	path := channelsPath + "/" + string(made.ID)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", channelsPath, "", 200},
		{"GET", path, "", 200},
		{"POST", channelsPath, `{"name":"b","kind":"webhook","url":"http://127.0.0.1:9/x"}`, 403},
		{"PATCH", path, `{"description":"x"}`, 403},
		{"DELETE", path, "", 403},
		{"POST", path + "/test", "", 403},
	} {
		if status, answer := r.do(c.method, c.path, viewer, c.body); status != c.want {
			t.Errorf("%s %s by a viewer is answered %d %s, want %d", c.method, c.path, status, answer, c.want)
		}
	}
	if status, _ := r.do("PATCH", path, testKey, `{"description":"x"}`, "If-Match", `"7"`); status != 412 {
		t.Errorf("a change of another version is answered %d", status)
	}
	call[any](r, "DELETE", path, "", 204)
	log := call[struct {
		Data []hub.AuditEntry `json:"data"`
	}](r, "GET", "/api/v1/audit/logs?resource_type=alert_channel", "", 200)
	var actions []string
	for _, e := range log.Data {
		actions = append(actions, e.Action)
	}
	if want := []string{"alert_channel.delete", "alert_channel.create"}; !slices.Equal(actions, want) {
		t.Errorf("audited %v, want %v", actions, want)
	}
}

// From a finding to a mailbox, over an unkind server; and what became of a
// failing endpoint is told there too.
func TestMailEndToEnd(t *testing.T) {
	server, settings := mailServer(t, false)
	r := start(t, load(t, t.TempDir(), "relay: {schedule: [100ms, 100ms, 100ms, 100ms, 100ms, 100ms, 100ms, 100ms, 100ms], breaker: 3, probe_after: 100ms, probe_max: 200ms, jitter: 0}\n"), withKey)
	f := newFar(t, nil) // only to wait by
	ch := r.channel(`{"name":"mail",` + settings + `,"events":["alert.*","endpoint.*"]}`)
	server.Be(true)
	a := call[hub.Attempt](r, "POST", channelsPath+"/"+string(ch.ID)+"/test", "", 200)
	if a.Status != 250 || a.Verdict != "succeeded" {
		t.Errorf("the trial gave %+v", a)
	}
	server.Be(false)
	r.findings("web", 1)
	subjects := func() (out []string) {
		for _, m := range server.Messages() {
			out = append(out, m.Subject)
		}
		return out
	}
	has := func(part string) func() bool {
		return func() bool {
			return slices.ContainsFunc(subjects(), func(s string) bool { return strings.Contains(s, part) })
		}
	}
	f.eventually(t, "the alert comes", has("[HIGH] xss on web-00000"))
	call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"http://127.0.0.1:1/x","name":"broken","events":["alert.acknowledged"]}`, 201)
	id := call[struct {
		Data []hub.Alert `json:"data"`
	}](r, "GET", "/api/v1/alerts", "", 200).Data[0].ID
	call[any](r, "POST", "/api/v1/alerts/"+string(id)+"/acknowledge", "{}", 200)
	f.eventually(t, "the acknowledgement comes", has("Re: [HIGH] xss on web-00000"))
	f.eventually(t, "the failing endpoint is told of", has("endpoint.disabled: broken"))
	for _, v := range server.Violations() {
		t.Errorf("the server found: %s", v)
	}
	threads := map[string]bool{}
	for _, m := range server.Messages() {
		if strings.Contains(m.Subject, "xss on web-00000") {
			threads[m.InReplyTo] = true
		}
	}
	if len(threads) != 1 {
		t.Errorf("one alert makes the threads %v", threads)
	}
}

// A Slack channel that is made over the API posts at once.
func TestSlackChannel(t *testing.T) {
	side := slacksim.New(slacksim.Options{Options: unkind.Options{Kind: true}})
	srv := httptest.NewServer(side)
	defer srv.Close()
	f := newFar(t, nil) // only to wait by
	r := start(t, load(t, t.TempDir(), quick), withKey)
	ch := r.channel(fmt.Sprintf(`{"name":"s","kind":"slack","bot_token":%q,"channel":"C024BE91L","api_url":"%s/api/","events":["alert.created"]}`, slacksim.DefaultToken, srv.URL))
	if a := call[hub.Attempt](r, "POST", channelsPath+"/"+string(ch.ID)+"/test", "", 200); a.Verdict != "succeeded" {
		t.Errorf("the trial gave %+v", a)
	}
	r.findings("a", 1)
	f.eventually(t, "it is posted", func() bool { return r.states(ch.ID)[hub.DeliverySucceeded] == 2 })
	if v := side.Violations(); len(v) > 0 {
		t.Errorf("Slack found %v", v)
	}
	call[any](r, "PATCH", channelsPath+"/"+string(ch.ID), `{"enabled":false}`, 200)
	r.findings("b", 3)
	f.eventually(t, "what comes while it is off is held", func() bool { return r.states(ch.ID)[hub.DeliveryHeld] == 3 })
	call[any](r, "PATCH", channelsPath+"/"+string(ch.ID), `{"enabled":true}`, 200)
	f.eventually(t, "and sent when it is on", func() bool { return r.states(ch.ID)[hub.DeliverySucceeded] >= 5 })
}

// Templates stand in place of the built-in texts, what is wrong with them is said
// at once, and one that fails for an event costs nothing.
func TestTemplatesOfChannels(t *testing.T) {
	server, settings := mailServer(t, true)
	r := start(t, load(t, t.TempDir(), quick), withKey)
	f := newFar(t, nil)
	for name, templates := range map[string]string{
		"/templates/subject": `{"subject":"{{.alert.titel}}"}`,
		"/templates/body":    `{"body":"{{if}}"}`,
		"/templates/text":    `{"text":"x"}`,
	} {
		status, answer := r.do("POST", channelsPath, testKey, `{"name":"a",`+settings+`,"templates":`+templates+`}`)
		if status != 422 || !strings.Contains(answer, `"pointer":"`+name+`"`) {
			t.Errorf("%s is answered %d %s", templates, status, answer)
		}
	}
	r.channel(`{"name":"mail",` + settings + `,"events":["alert.created"],"templates":{"subject":"{{upper .alert.severity}} on {{.alert.asset_id}} {{.alert.labels.team}}",` +
		`"body":"{{if eq .alert.asset_id \"web-00001\"}}{{index .alert.sources 7}}{{end}}own words"}}`)
	r.findings("web", 2)
	f.eventually(t, "both come", func() bool { return len(server.Messages()) == 2 })
	for _, m := range server.Messages() {
		own := strings.Contains(m.Text, "own words")
		if !strings.HasPrefix(m.Subject, "HIGH on web-0000") || own == strings.HasSuffix(m.Subject, "1") {
			t.Errorf("%q:\n%s", m.Subject, m.Text)
		}
	}
}

// A burst becomes a few mails that tell of everything, also over a server that
// refuses and cuts.
func TestABurstOfMail(t *testing.T) {
	server, settings := mailServer(t, false)
	r := start(t, load(t, t.TempDir(), "relay: {schedule: [100ms, 100ms, 100ms, 100ms, 100ms, 100ms, 100ms, 100ms, 100ms, 100ms], breaker: 0, jitter: 0}\n"), withKey)
	f := newFar(t, nil)
	ch := r.channel(`{"name":"mail",` + settings + `,"events":["alert.created"],"rate_limit":20}`)
	const n = 150
	r.findings("web", n)
	f.eventually(t, "all are told of", func() bool { return r.states(ch.ID)[hub.DeliverySucceeded] == n })
	var all strings.Builder
	for _, m := range server.Messages() {
		all.WriteString(m.Subject + m.Text)
	}
	for i := range n {
		if !strings.Contains(all.String(), fmt.Sprintf("web-%05d", i)) {
			t.Errorf("nobody was told of web-%05d", i)
		}
	}
	if mails := len(server.Messages()); mails > n/4 {
		t.Errorf("%d alerts made %d mails", n, mails)
	}
	for _, v := range server.Violations() {
		t.Errorf("the server found: %s", v)
	}
}
