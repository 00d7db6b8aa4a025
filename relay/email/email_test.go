package email_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
	"github.com/tocsin/tocsin/relay/email"
	"github.com/tocsin/tocsin/relay/relaytest"
	sim "github.com/tocsin/tocsin/test/sim/smtp"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A post is a target with a mail server.
type post struct {
	*testing.T
	sim    *sim.Sim
	target *email.Target
}

func start(t *testing.T, o sim.Options) *post {
	t.Helper()
	s, err := sim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	p := &post{T: t, sim: s}
	p.target = email.New(email.Options{
		Client: safehttp.New(safehttp.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		Link:   func(subject string) string { return "https://hub.example/alerts/" + subject }, TLS: s.TLS(),
	})
	return p
}

var kind = sim.Options{Options: unkind.Options{Kind: true}}

// endpoint gives an endpoint at the server, with changes as name and value.
func (p *post) endpoint(changes ...string) *hub.Endpoint {
	e := &hub.Endpoint{
		ID: "chn_1", Kind: hub.KindEmail, Enabled: true,
		Config: map[string]string{
			"host": "127.0.0.1", "port": p.sim.Port(), "username": sim.DefaultUser, "from": "Tocsin <tocsin@hub.example>", "to": "soc@example.com",
		},
		Secrets: hub.EndpointSecrets{Tokens: map[string]string{"password": sim.DefaultPassword}},
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i] == "password" {
			e.Secrets.Tokens["password"] = changes[i+1]
			continue
		}
		e.Config[changes[i]] = changes[i+1]
	}
	return e
}

func event(typ hub.EventType, changes func(*hub.Event)) *hub.Event {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ev := &hub.Event{
		SpecVersion: "1.0", ID: "msg_01", Type: typ, Subject: "alt_01", Time: at, Sequence: 7,
		Data: hub.EventData{Reason: "created", Alert: &hub.Alert{
			ID: "alt_01", Title: "Root account login", Description: "from an unknown address", Type: "iam", Severity: hub.Critical,
			Status: hub.AlertOpen, AssetID: "srv_1", Asset: &hub.Asset{Account: "012345670123"}, Sources: []string{"cybervault"}, Count: 3, Generation: 2,
		}},
	}
	if changes != nil {
		changes(ev)
	}
	return ev
}

func delivery(id string, ev *hub.Event, params string) *hub.Delivery {
	body, err := json.Marshal(ev)
	if err != nil {
		panic(err)
	}
	return &hub.Delivery{ID: hub.DeliveryID(id), Kind: hub.KindEmail, Action: hub.ActionPost, EventID: ev.ID, EventType: ev.Type, Subject: ev.Subject, Params: []byte(params), Body: body}
}

func (p *post) send(e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 10*time.Second)
	defer cancel()
	before := fmt.Sprintf("%+v %+v", *e, *d)
	a, err := p.target.Send(ctx, e, d)
	if after := fmt.Sprintf("%+v %+v", *e, *d); after != before {
		p.Errorf("changed its endpoint or delivery from\n%s to\n%s", before, after)
	}
	for _, text := range []string{fmt.Sprintf("%+v", a), fmt.Sprintf("%v %+v", err, errors.Unwrap(err))} {
		if strings.Contains(text, e.Secrets.Tokens["password"]) {
			p.Errorf("the password is in %s", text)
		}
	}
	return a, err
}

// judged fails the test if the server found anything wrong.
func (p *post) judged() []sim.Message {
	p.Helper()
	for _, v := range p.sim.Violations() {
		p.Errorf("the server found: %s", v)
	}
	return p.sim.Messages()
}

func TestAMail(t *testing.T) {
	for name, o := range map[string]struct {
		sim     sim.Options
		changes []string
	}{
		"starttls":       {kind, nil},
		"login":          {sim.Options{Options: kind.Options, Ways: []string{"LOGIN"}}, nil},
		"implicit":       {sim.Options{Options: kind.Options, Implicit: true}, []string{"tls", "tls"}},
		"in the clear":   {sim.Options{Options: kind.Options, NoTLS: true}, []string{"tls", "none", "username", "", "password", ""}},
		"without log-in": {sim.Options{Options: kind.Options, NoAuth: true}, []string{"username", "", "password", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, o.sim)
			e := p.endpoint(o.changes...)
			if e.Secrets.Tokens["password"] == "" {
				delete(e.Secrets.Tokens, "password")
				e.Secrets.Tokens["other"] = "x"
			}
			a, err := p.target.Send(t.Context(), e, delivery("dlv_01", event(hub.AlertCreated, nil), ""))
			if err != nil {
				t.Fatal(err)
			}
			if a.Status != 250 || a.Address != p.sim.Address() || !strings.HasPrefix(a.Digest, "sha-256=") || a.Request["Message-Id"] != "<dlv_01@hub.example>" {
				t.Errorf("recorded as %+v", a)
			}
			got := p.judged()
			if len(got) != 1 {
				t.Fatalf("%d mails came", len(got))
			}
			m := got[0]
			if m.From != "tocsin@hub.example" || !slices.Equal(m.To, []string{"soc@example.com"}) || m.Subject != "[CRITICAL] Root account login" {
				t.Errorf("from %s to %v: %q", m.From, m.To, m.Subject)
			}
			for _, want := range []string{"Root account login", "Alert created", "from an unknown address", "012345670123", "https://hub.example/alerts/alt_01", "2026"} {
				if want == "2026" {
					continue
				}
				if !strings.Contains(m.Text, want) || !strings.Contains(m.HTML, want) {
					t.Errorf("%q is missing in\n%s\n%s", want, m.Text, m.HTML)
				}
			}
			head := map[string]string{}
			for _, h := range []string{"Auto-Submitted", "List-Id", "X-Tocsin-Event", "X-Tocsin-Delivery"} {
				head[h] = m.Header.Get(h)
			}
			want := map[string]string{"Auto-Submitted": "auto-generated", "List-Id": "<chn_1.tocsin.hub.example>", "X-Tocsin-Event": "alert.created", "X-Tocsin-Delivery": "dlv_01"}
			if diff := cmp.Diff(want, head); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
		})
	}
}

// All mails about one life of an alert are one thread; another life, another
// alert and another channel are others.
func TestThreads(t *testing.T) {
	p := start(t, kind)
	for i, ev := range []*hub.Event{
		event(hub.AlertCreated, nil),
		event(hub.AlertUpdated, func(ev *hub.Event) { ev.Data.Changes = hub.Changes{"severity": {"high", "critical"}} }),
		event(hub.AlertResolvedEvent, nil),
		event(hub.AlertReopened, func(ev *hub.Event) { ev.Data.Alert.Generation = 3 }),
		event(hub.AlertCreated, func(ev *hub.Event) { ev.Subject, ev.Data.Alert.ID = "alt_02", "alt_02" }),
		event(hub.EndpointDisabled, func(ev *hub.Event) {
			ev.Subject, ev.Data = "whk_1", hub.EventData{Reason: "it fails", Endpoint: &hub.EndpointBrief{ID: "whk_1", Name: "soar", Kind: "webhook", Reason: "it fails"}}
		}),
	} {
		if _, err := p.send(p.endpoint(), delivery(fmt.Sprintf("dlv_%02d", i), ev, "")); err != nil {
			t.Fatal(err)
		}
	}
	other := p.endpoint()
	other.ID = "chn_2"
	if _, err := p.send(other, delivery("dlv_99", event(hub.AlertCreated, nil), "")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range p.judged() {
		if len(m.References) != 1 || m.InReplyTo != m.References[0] {
			t.Errorf("%s refers to %v, in reply to %s", m.ID, m.References, m.InReplyTo)
		}
		got = append(got, m.InReplyTo+" "+m.Subject)
	}
	first := "<alt_01_g2.chn_1@hub.example>"
	want := []string{
		first + " [CRITICAL] Root account login", first + " Re: [CRITICAL] Root account login", first + " Re: [CRITICAL] Root account login",
		"<alt_01_g3.chn_1@hub.example> [CRITICAL] Root account login", "<alt_02_g2.chn_1@hub.example> [CRITICAL] Root account login",
		"<whk_1.chn_1@hub.example> [Tocsin] endpoint.disabled: soar", "<alt_01_g2.chn_2@hub.example> [CRITICAL] Root account login",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Texts from outside make no headers, no markup and no links, and mails that no
// server refuses.
func TestTextFromOutside(t *testing.T) {
	p := start(t, kind)
	for i, evil := range []string{
		"a\r\nBcc: victim@example.com\r\n\r\nbody", "a\nSubject: other", "a\x00\x1b[31m\x7fb", "\u202egnp.exe\u202c", strings.Repeat("long ", 5000),
		strings.Repeat("x", 30000), ".\r\n.\r\n..", "<script>alert(1)</script><a href=javascript:x>", "=?utf-8?q?=0D=0ABcc:_x@example.com?=",
		"日本語の件名 " + strings.Repeat("漢字", 300), "\xff\xfe broken", "{{.}} ${x} %s %d", "\u2028Bcc: x@example.com", "",
	} {
		ev := event(hub.AlertCreated, func(ev *hub.Event) {
			a := ev.Data.Alert
			a.Title, a.Description, a.AssetID, a.Assignee, ev.Data.Reason, ev.Data.Actor = evil, evil, evil, evil, evil, evil
			a.Sources, a.Asset = []string{evil}, &hub.Asset{Account: evil}
			ev.Data.Changes = hub.Changes{evil: {evil, evil}}
		})
		d := delivery(fmt.Sprintf("dlv_%02d", i), &hub.Event{Subject: "alt_01", Data: hub.EventData{Alert: &hub.Alert{}}}, "")
		d.Body = valid(t, ev)
		if _, err := p.send(p.endpoint(), d); err != nil {
			t.Errorf("%.40q: %v", evil, err)
		}
	}
	got := p.judged()
	if len(got) != 14 {
		t.Fatalf("%d mails came", len(got))
	}
	for _, m := range got {
		if m.Header.Get("Bcc") != "" || len(m.To) != 1 || strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, `"javascript`) {
			t.Errorf("%q to %v:\n%s", m.Subject, m.To, m.HTML)
		}
		if n := len([]rune(m.Subject)); n > 200 {
			t.Errorf("a subject of %d characters", n)
		}
	}
}

// valid encodes an event as the hub would store it: as valid UTF-8.
func valid(t *testing.T, ev *hub.Event) []byte {
	t.Helper()
	a := ev.Data.Alert
	for _, s := range []*string{&a.Title, &a.Description, &a.AssetID, &a.Assignee, &ev.Data.Reason, &ev.Data.Actor, &a.Sources[0], &a.Asset.Account} {
		*s = strings.ToValidUTF8(*s, "\uFFFD")
	}
	for k, v := range maps.Clone(ev.Data.Changes) {
		delete(ev.Data.Changes, k)
		ev.Data.Changes[strings.ToValidUTF8(k, "?")] = [2]any{strings.ToValidUTF8(fmt.Sprint(v[0]), "?"), nil}
	}
	b, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What servers answer, and what comes of it.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		stage string
		code  int
		kind  hub.Kind
		says  string
	}{
		{"hello", 421, hub.Transient, "421 4.0.0 words"},
		{"hello", 550, hub.Transient, "550 5.0.0 words"},
		{"auth", 454, hub.Transient, "454 4.0.0 words"},
		{"auth", 535, hub.Transient, "535 5.0.0 words; check username and password"},
		{"mail", 451, hub.Transient, "refuses the sender tocsin@hub.example: 451 4.0.0 words"},
		{"mail", 553, hub.Invalid, "refuses the sender tocsin@hub.example: 553 5.0.0 words"},
		{"rcpt", 450, hub.Transient, "refuses the recipient soc@example.com: 450 4.0.0 words"},
		{"rcpt", 550, hub.Invalid, "refuses the recipient soc@example.com: 550 5.0.0 words"},
		{"data", 452, hub.Transient, "refuses the message: 452 4.0.0 words"},
		{"data", 554, hub.Invalid, "refuses the message: 554 5.0.0 words"},
	} {
		t.Run(fmt.Sprint(c.stage, c.code), func(t *testing.T) {
			o := kind
			o.Refuse = func(stage, _ string) (int, string) {
				if stage != c.stage {
					return 0, ""
				}
				return c.code, fmt.Sprintf("%d.0.0 words %s", c.code/100, sim.DefaultPassword)
			}
			p := start(t, o)
			a, err := p.send(p.endpoint(), delivery("dlv_01", event(hub.AlertCreated, nil), ""))
			if hub.KindOf(err) != c.kind || !strings.Contains(strings.ReplaceAll(err.Error(), " ***", ""), c.says) || a.Status != c.code {
				t.Errorf("status %d, %q: %v; want %q with %q", a.Status, hub.KindOf(err), err, c.kind, c.says)
			}
			if got := p.judged(); len(got) != 0 {
				t.Errorf("%d mails were taken", len(got))
			}
		})
	}
}

// One mailbox that is gone or full does not keep the mail from the others.
func TestSomeRecipients(t *testing.T) {
	p := start(t, kind)
	p.sim.Refuse(func(stage, what string) (int, string) {
		switch {
		case stage == "rcpt" && strings.HasPrefix(what, "gone"):
			return 550, "5.1.1 no such user"
		case stage == "rcpt" && strings.HasPrefix(what, "full"):
			return 452, "4.2.2 over quota"
		}
		return 0, ""
	})
	e := p.endpoint("to", "gone@example.com, a@example.com, b@example.com")
	a, err := p.send(e, delivery("dlv_01", event(hub.AlertCreated, nil), ""))
	if err != nil || a.Response["Not-Delivered-To"] != "gone@example.com: 550 5.1.1 no such user" || a.Status != 250 {
		t.Errorf("%+v, %v", a, err)
	}
	e = p.endpoint("to", "a@example.com, full@example.com")
	d := delivery("dlv_02", event(hub.AlertCreated, nil), "")
	for made, want := range []hub.Kind{hub.Transient, hub.Transient, ""} {
		d.Attempts = made
		if _, err := p.send(e, d); hub.KindOf(err) != want {
			t.Errorf("after %d attempts: %v", made, err)
		}
	}
	var to []string
	for _, m := range p.judged() {
		to = append(to, fmt.Sprint(m.To))
	}
	if want := []string{"[a@example.com b@example.com]", "[a@example.com]"}; !slices.Equal(to, want) {
		t.Errorf("went to %v, want %v", to, want)
	}
}

// The password is never said in the clear, nor to a server without a good
// certificate.
func TestNothingInTheClear(t *testing.T) {
	for name, c := range map[string]struct {
		o       sim.Options
		trusted bool
		says    string
	}{
		"no STARTTLS":   {sim.Options{Options: kind.Options, NoTLS: true}, true, "offers no STARTTLS"},
		"unknown to us": {kind, false, "certificate is not accepted"},
		"implicit":      {sim.Options{Options: kind.Options, Implicit: true}, false, "certificate is not accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, c.o)
			if !c.trusted {
				p.target = email.New(email.Options{Client: safehttp.New(safehttp.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})})
			}
			e := p.endpoint()
			if c.o.Implicit {
				e.Config["tls"] = "tls"
			}
			_, err := p.send(e, delivery("dlv_01", event(hub.AlertCreated, nil), ""))
			if hub.KindOf(err) != hub.Transient || !strings.Contains(err.Error(), c.says) {
				t.Errorf("gives %v, want %q", err, c.says)
			}
			if len(p.judged()) != 0 {
				t.Error("a mail was taken")
			}
		})
	}
}

func TestServersThatAreNotThere(t *testing.T) {
	p := start(t, kind)
	p.target = email.New(email.Options{Client: safehttp.New(safehttp.Options{})})
	_, err := p.send(p.endpoint(), delivery("dlv_01", event(hub.AlertCreated, nil), ""))
	var refused *safehttp.Refused
	if !errors.As(err, &refused) || refused.Reason != "loopback" || hub.KindOf(err) != hub.Invalid {
		t.Errorf("a refused address gives %v", err)
	}
	if p.sim.Sessions() != 0 {
		t.Error("a refused address was dialled")
	}
	p = start(t, kind)
	p.sim.Close()
	if _, err := p.send(p.endpoint(), delivery("dlv_01", event(hub.AlertCreated, nil), "")); hub.KindOf(err) != hub.Transient || !strings.Contains(err.Error(), "the connection was refused") {
		t.Errorf("a closed port gives %v", err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, port, _ := net.SplitHostPort(silent.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.target.Send(ctx, p.endpoint("port", port), delivery("dlv_01", event(hub.AlertCreated, nil), "")); hub.KindOf(err) != hub.Transient || !strings.Contains(err.Error(), "no complete answer in time") {
		t.Errorf("a silent server gives %v", err)
	}
}

// An unkind server: everything comes in the end, under one Message-ID each.
func TestUnkindServer(t *testing.T) {
	p := start(t, sim.Options{Options: unkind.Options{Seed: 3}})
	e := p.endpoint("to", "a@example.com, b@example.com")
	tries := 0
	for i := range 60 {
		d := delivery(fmt.Sprintf("dlv_%02d", i), event(hub.AlertCreated, func(ev *hub.Event) { ev.Data.Alert.Title = fmt.Sprint("title ", i) }), "")
		for ; ; d.Attempts++ {
			tries++
			if _, err := p.send(e, d); err == nil {
				break
			} else if hub.KindOf(err) != hub.Transient || d.Attempts > 30 {
				t.Fatalf("attempt %d: %v", d.Attempts, err)
			}
		}
	}
	got := p.judged()
	if len(got) != 60 || tries <= 60 {
		t.Errorf("%d mails came of %d attempts, want 60 of more", len(got), tries)
	}
}

func TestDigest(t *testing.T) {
	p := start(t, kind)
	e := p.endpoint("digest", "1h")
	if g := p.target.Gather(e); g.Hold != time.Hour || g.From != 2 {
		t.Errorf("a digest is gathered by %+v", g)
	}
	if g := p.target.Gather(p.endpoint()); g.Hold != 0 || g.From == 0 || g.Every == 0 {
		t.Errorf("others are gathered by %+v", g)
	}
	var all []*hub.Delivery
	add := func(n int, typ hub.EventType, s hub.Severity, title string) {
		all = append(all, delivery(fmt.Sprintf("dlv_%03d", len(all)), event(typ, func(ev *hub.Event) {
			ev.Subject, ev.Sequence = fmt.Sprintf("alt_%03d", n), int64(len(all))
			ev.Data.Alert.ID, ev.Data.Alert.Severity, ev.Data.Alert.Title = hub.AlertID(ev.Subject), s, title
		}), ""))
	}
	add(1, hub.AlertCreated, hub.Low, "a low one")
	add(2, hub.AlertCreated, hub.High, "a high <b>one</b>")
	add(1, hub.AlertResolvedEvent, hub.Low, "a low one")
	if _, err := p.target.SendAll(t.Context(), e, all); err != nil {
		t.Fatal(err)
	}
	if _, err := p.target.SendAll(t.Context(), e, all); err != nil { // again: the same mail
		t.Fatal(err)
	}
	for i := range 500 {
		add(i, hub.AlertCreated, hub.Medium, "many")
	}
	if _, err := p.target.SendAll(t.Context(), e, all); err != nil {
		t.Fatal(err)
	}
	got := p.judged()
	if len(got) != 2 || got[0].Copies != 2 {
		t.Fatalf("%d mails came: %+v", len(got), got)
	}
	m := got[0]
	if m.Subject != "[HIGH] 2 alerts: a high <b>one</b>" || !strings.Contains(m.Text, "1 high, 1 low") || !strings.Contains(m.Text, "created, resolved") || strings.Contains(m.HTML, "<b>") {
		t.Errorf("%q:\n%s", m.Subject, m.Text)
	}
	if high, low := strings.Index(m.Text, "[HIGH]"), strings.Index(m.Text, "[LOW]"); high < 0 || low < high {
		t.Errorf("the worst is not first:\n%s", m.Text)
	}
	if m := got[1]; !strings.Contains(m.Text, "300 more are not shown.") || !strings.HasPrefix(m.Subject, "[HIGH] 500 alerts") {
		t.Errorf("%q:\n%.300s", m.Subject, m.Text)
	}
	p.sim.Refuse(func(stage, _ string) (int, string) {
		if stage == "data" {
			return 552, "5.3.4 too large"
		}
		return 0, ""
	})
	if _, err := p.target.SendAll(t.Context(), e, all); hub.KindOf(err) != hub.TooLarge {
		t.Errorf("too large gives %v", err)
	}
	p.sim.Refuse(func(stage, _ string) (int, string) {
		if stage == "data" {
			return 554, "5.7.1 looks like spam"
		}
		return 0, ""
	})
	if _, err := p.target.SendAll(t.Context(), e, all); hub.KindOf(err) != hub.Malformed {
		t.Errorf("refused content gives %v", err)
	}
}

// What playbooks, templates and alert rules add.
func TestGivenTexts(t *testing.T) {
	p := start(t, kind)
	params := `{"message":"look <here>","subject":"by hand","rule":{"id":"rul_1","name":"critical ones","held_back":12,"since":"2026-03-01T10:00:00Z","why":"cooldown"}}`
	if _, err := p.send(p.endpoint(), delivery("dlv_01", event(hub.AlertCreated, nil), params)); err != nil {
		t.Fatal(err)
	}
	p.target = email.New(email.Options{
		Client: safehttp.New(safehttp.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}), TLS: p.sim.TLS(),
		Template: func(_ *hub.Endpoint, name string, _ *hub.Delivery, ev *hub.Event) string {
			return name + " of\r\n" + ev.Subject
		},
	})
	if _, err := p.send(p.endpoint(), delivery("dlv_02", event(hub.AlertCreated, nil), "")); err != nil {
		t.Fatal(err)
	}
	got := p.judged()
	if got[0].Subject != "by hand" || !strings.Contains(got[0].Text, "look <here>") || !strings.Contains(got[0].HTML, "look &lt;here&gt;") ||
		!strings.Contains(strings.Join(strings.Fields(got[0].Text), " "), `rule "critical ones": 12 more alerts since 2026-03-01 10:00 UTC held back by its cooldown`) {
		t.Errorf("%q:\n%s", got[0].Subject, got[0].Text)
	}
	if got[1].Subject != "subject of alt_01" || !strings.HasPrefix(got[1].Text, "title of alt_01\r\n") || !strings.Contains(got[1].Text, "body of\r\nalt_01") {
		t.Errorf("%q:\n%s", got[1].Subject, got[1].Text)
	}
}

func TestCheck(t *testing.T) {
	p := start(t, kind)
	for pointer, changes := range map[string][]string{
		"":          nil,
		"/host":     {"host", ""},
		"/host ":    {"host", "http://a"},
		"/port":     {"port", "0"},
		"/tls":      {"tls", "ssl"},
		"/tls ":     {"tls", "none"},
		"/from":     {"from", "nobody"},
		"/from ":    {"from", "a@b.example\r\nBcc: x@y.example"},
		"/from  ":   {"from", "ü@b.example"},
		"/to":       {"to", ""},
		"/to ":      {"to", "a@b.example, nobody"},
		"/to  ":     {"to", strings.Repeat("a@b.example,", 51) + "a@b.example"},
		"/to/1":     {"to", "a@b.example, ü@b.example"},
		"/password": {"password", ""},
		"/username": {"username", ""},
		"/digest":   {"digest", "10s"},
		"/digest ":  {"digest", "soon"},
	} {
		fields := email.Check(p.endpoint(changes...))
		if pointer == "" {
			if len(fields) > 0 {
				t.Errorf("a good one: %v", fields)
			}
			continue
		}
		if len(fields) != 1 || fields[0].Pointer != strings.TrimSpace(pointer) || fields[0].Detail == "" {
			t.Errorf("%v: %v, want %s", changes, fields, pointer)
		}
	}
}

func TestSample(t *testing.T) { relaytest.Sample(t, email.Sample(), hub.KindEmail) }

var _ relay.Gatherer = (*email.Target)(nil)
