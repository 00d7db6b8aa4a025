package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
)

// names is a resolver whose answers can be changed.
type names struct {
	mu  sync.Mutex
	all map[string][]netip.Addr
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all, ok := n.all[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return append([]netip.Addr(nil), all...), nil
}

func (n *names) set(host string, all ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[host] = nil
	for _, a := range all {
		n.all[host] = append(n.all[host], netip.MustParseAddr(a))
	}
}

// rebound are addresses that a public name leads to one day, with the name of the
// rule that refuses them.
var rebound = []struct {
	reason string
	to     []string
}{
	{"loopback", []string{"127.0.0.1"}},
	{"loopback", []string{"::1"}},
	{"private", []string{"10.0.0.7"}},
	{"private", []string{"fd12::1"}},
	{"link-local", []string{"169.254.10.1"}},
	{"metadata", []string{"169.254.169.254"}},
	{"shared", []string{"100.64.1.1"}},
	{"nat64", []string{"64:ff9b::7f00:1"}},
	{"6to4", []string{"2002:7f00:1::"}},
	{"teredo", []string{"2001:0:4136:e378::1"}},
	{"isatap", []string{"2606:4700::5efe:127.0.0.1"}},
	{"translated", []string{"::ffff:0:127.0.0.1"}},
	{"unspecified", []string{"0.0.0.0"}},
	{"loopback", []string{"8.8.8.8", "127.0.0.1"}},
	{"private", []string{"2606:4700:4700::1111", "192.168.0.1"}},
}

// A name that was public when its endpoint was made and is not any more: change,
// trial and delivery refuse it in the same words, at once, and nothing is sent.
func TestRefusedAtEveryStepAlike(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Error("a connection came where nothing may be sent")
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n := &names{all: map[string][]netip.Addr{}}
	cfg := load(t, t.TempDir(), "")
	cfg.Relay.AllowNetworks = nil
	r := &running{t: t, out: bytes.Buffer{}}
	if r.App, err = New(t.Context(), Options{Config: cfg, Version: "test", Log: slog.New(slog.DiscardHandler), Env: func(n string) string { return withKey[n] }, Out: io.Discard, Resolver: n}); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	var hooks []hookView
	url := func(i int) string { return fmt.Sprintf("http://name%d.example:%s/hook", i, port) }
	for i := range rebound {
		n.set(fmt.Sprintf("name%d.example", i), "8.8.8.8")
		hooks = append(hooks, r.webhook(url(i), ""))
	}
	for i, tt := range rebound {
		n.set(fmt.Sprintf("name%d.example", i), tt.to...)
	}
	r.findings("a", 1)
	for i, tt := range rebound {
		path := "/api/v1/webhooks/" + string(hooks[i].ID)
		made, changed := r.refusal("POST", "/api/v1/webhooks", `{"url":"`+url(i)+`"}`), r.refusal("PATCH", path, `{"url":"`+url(i)+`"}`)
		tried := r.refusal("POST", path+"/test", "")
		f := newFar(t, nil)
		f.eventually(t, "the delivery is over", func() bool { return r.states(hooks[i].ID)[hub.DeliveryDead] == 1 })
		d := call[listed](r, "GET", path+"/deliveries", "", 200).Data[0]
		v := call[api.DeliveryView](r, "GET", "/api/v1/deliveries/"+string(d.ID), "", 200)
		if !strings.Contains(made, "refused ("+tt.reason+")") || changed != made || tried != made || d.Error != made {
			t.Errorf("%v is refused with\n%q at its making,\n%q at its change,\n%q at its trial,\n%q at its delivery;\nwant the same with the reason %s", tt.to, made, changed, tried, d.Error, tt.reason)
		}
		if len(v.AttemptLog) != 1 || v.AttemptLog[0].Refused != tt.reason || v.AttemptLog[0].Verdict != "dead" || d.Fault != "endpoint" {
			t.Errorf("%v: attempts %+v, fault %q; want one that names %s", tt.to, v.AttemptLog, d.Fault, tt.reason)
		}
	}
}

// refusal makes a request whose URL is refused and gives the words.
func (r *running) refusal(method, path, body string) string {
	r.t.Helper()
	status, answer := r.do(method, path, testKey, body)
	var p struct {
		Errors []hub.Field `json:"errors"`
	}
	if err := json.Unmarshal([]byte(answer), &p); err != nil || status != 422 || len(p.Errors) != 1 || p.Errors[0].Pointer != "/url" {
		r.t.Errorf("%s %s is answered %d %s, want 422 about /url", method, path, status, answer)
		return ""
	}
	return p.Errors[0].Detail
}
