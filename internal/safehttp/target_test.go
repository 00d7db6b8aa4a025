package safehttp_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/test/report"
)

// names is a resolver that gives its answers in turn, the last one for ever.
type names struct {
	answers map[string][][]netip.Addr
	asked   atomic.Int64
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	all, ok := n.answers[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	i := int(n.asked.Add(1)) - 1
	return append([]netip.Addr(nil), all[min(i, len(all)-1)]...), nil
}

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// targets are URLs with the reason for which they are refused; "" if not.
var targets = []struct{ url, reason string }{
	{"http://127.0.0.1/", "loopback"},
	{"http://127.255.255.254:9200/", "loopback"},
	{"http://[::1]/", "loopback"},
	{"http://0.0.0.0/", "unspecified"},
	{"http://0.1.2.3/", "unspecified"},
	{"http://[::]/", "unspecified"},
	{"https://10.0.0.1/", "private"},
	{"https://172.16.0.1/", "private"},
	{"https://172.31.255.255/", "private"},
	{"https://192.168.1.1/", "private"},
	{"https://[fc00::1]/", "private"},
	{"https://[fdff::1]/", "private"},
	{"https://[fec0::1]/", "private"},
	{"http://100.64.0.1/", "shared"},
	{"http://100.127.255.255/", "shared"},
	{"http://169.254.0.1/", "link-local"},
	{"http://[fe80::1]/", "link-local"},
	{"http://[fe80::1%25eth0]/", "zone"},
	{"http://[2606:4700::1%25eth0]/", "zone"},
	{"http://169.254.169.254/latest/meta-data/", "metadata"},
	{"http://169.254.170.2/", "metadata"},
	{"http://169.254.170.23/", "metadata"},
	{"http://100.100.100.200/", "metadata"},
	{"http://192.0.0.192/", "metadata"},
	{"http://168.63.129.16/", "metadata"},
	{"http://[fd00:ec2::254]/", "metadata"},
	{"http://[fd20:ce::254]/", "metadata"},
	{"http://192.0.2.1/", "documentation"},
	{"http://198.51.100.1/", "documentation"},
	{"http://203.0.113.1/", "documentation"},
	{"http://[2001:db8::1]/", "documentation"},
	{"http://[3fff::1]/", "documentation"},
	{"http://198.18.0.1/", "benchmark"},
	{"http://198.19.255.255/", "benchmark"},
	{"http://[2001:2::1]/", "benchmark"},
	{"http://224.0.0.1/", "multicast"},
	{"http://239.255.255.255/", "multicast"},
	{"http://[ff02::1]/", "multicast"},
	{"http://240.0.0.1/", "reserved"},
	{"http://255.255.255.255/", "broadcast"},
	{"http://192.0.0.1/", "special"},
	{"http://192.88.99.1/", "special"},
	{"http://192.31.196.1/", "special"},
	{"http://192.52.193.1/", "special"},
	{"http://192.175.48.1/", "special"},
	{"http://[2001:20::1]/", "special"},
	{"http://[2620:4f:8000::1]/", "special"},
	{"http://[5f00::1]/", "special"},
	{"http://[4000::1]/", "special"},
	{"http://[100::1]/", "discard"},
	{"http://[::ffff:127.0.0.1]/", "mapped"},
	{"http://[::ffff:a9fe:a9fe]/", "mapped"},
	{"http://[::ffff:8.8.8.8]/", "mapped"},
	{"http://[::127.0.0.1]/", "special"},
	{"http://[::ffff:0:127.0.0.1]/", "translated"},
	{"http://[64:ff9b::127.0.0.1]/", "nat64"},
	{"http://[64:ff9b::8.8.8.8]/", "nat64"},
	{"http://[64:ff9b:1::10.0.0.1]/", "nat64"},
	{"http://[2002:7f00:1::]/", "6to4"},
	{"http://[2002:a9fe:a9fe::1]/", "6to4"},
	{"http://[2001:0:4136:e378::1]/", "teredo"},
	{"http://[2606:4700::5efe:127.0.0.1]/", "isatap"},
	{"http://[2606:4700::200:5efe:10.0.0.1]/", "isatap"},

	{"http://2130706433/", "spelling"},
	{"http://0x7f000001/", "spelling"},
	{"http://017700000001/", "spelling"},
	{"http://127.1/", "spelling"},
	{"http://127.0.1/", "spelling"},
	{"http://0177.0.0.1/", "spelling"},
	{"http://0x7f.0.0.1/", "spelling"},
	{"http://127.0.0.01/", "spelling"},
	{"http://127.0.0.0x1/", "spelling"},
	{"http://127.0.0.1./", "spelling"},
	{"http://256.256.256.256/", "spelling"},
	{"http://1.2.3.4.5/", "spelling"},
	{"http://0x/", "spelling"},
	{"http://１２７.0.0.1/", "spelling"},
	{"http://ⓛocalhost/", "spelling"},
	{"http://bücher.example/", "spelling"},
	{"http://exa mple.com/", "not a URL"},
	{"http://a$b.example/", "spelling"},
	{"http://./", "spelling"},
	{"http://public.example../", "spelling"},

	{"http://user@public.example/", "userinfo"},
	{"http://user:pass@127.0.0.1/", "userinfo"},
	{"http://public.example@127.0.0.1/", "userinfo"},
	{"ftp://public.example/", "scheme"},
	{"file:///etc/passwd", "scheme"},
	{"gopher://127.0.0.1:25/", "scheme"},
	{"//public.example/", "scheme"},
	{"public.example/hook", "scheme"},
	{"", "scheme"},
	{"http:///hook", "not a URL"},
	{"http:public.example", "not a URL"},
	{"http://public.example:0/", "port"},
	{"http://public.example:99999/", "port"},
	{"http://public.example:-1/", "not a URL"},
	{"http://public.example:http/", "not a URL"},
	{"http://127.0.0.1%2f@public.example/", "userinfo"},
	{"http://127%2e0.0.1/", "not a URL"},

	{"http://inside.example/", "private"},
	{"http://inside.example./", "private"},
	{"http://mixed.example/", "loopback"},
	{"http://mixed6.example/", "private"},
	{"http://mapped.example/", "loopback"},
	{"http://nat64.example/", "nat64"},
	{"http://meta.example/", "metadata"},

	{"https://public.example/hooks?token=1#x", ""},
	{"https://PUBLIC.example:8443/", ""},
	{"https://8.8.8.8/", ""},
	{"https://[2606:4700:4700::1111]:444/", ""},
	{"https://xn--bcher-kva.example/", ""},
	{"https://with_underscore.example/", ""},
}

func resolver() *names {
	public := [][]netip.Addr{addrs("8.8.8.8", "2606:4700:4700::1111")}
	return &names{answers: map[string][][]netip.Addr{
		"public.example": public, "PUBLIC.example": public, "xn--bcher-kva.example": public, "with_underscore.example": public,
		"inside.example": {addrs("10.1.2.3")}, "inside.example.": {addrs("10.1.2.3")},
		"mixed.example":  {addrs("8.8.8.8", "127.0.0.1")},
		"mixed6.example": {addrs("8.8.8.8", "fd00::1")},
		"mapped.example": {addrs("::ffff:127.0.0.1")},
		"nat64.example":  {addrs("64:ff9b::7f00:1")},
		"meta.example":   {addrs("169.254.169.254")},
	}}
}

func reasonOf(err error) string {
	var r *safehttp.Refused
	if errors.As(err, &r) {
		return r.Reason
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return ""
}

func TestCheckNamesTheReason(t *testing.T) {
	if len(targets) < 100 {
		t.Errorf("only %d targets", len(targets))
	}
	for _, tt := range targets {
		err := safehttp.New(safehttp.Options{Resolver: resolver()}).Check(t.Context(), tt.url)
		if got := reasonOf(err); got != tt.reason {
			t.Errorf("Check(%q) gives %q, want %q", tt.url, got, tt.reason)
		}
		if err != nil && hub.KindOf(err) != hub.Invalid {
			t.Errorf("Check(%q) has kind %s, want invalid", tt.url, hub.KindOf(err))
		}
	}
}

// What Check refuses, a request meets the same refusal, and nothing is sent.
func TestDialGivesTheSameVerdict(t *testing.T) {
	rep := report.Of(t, 4)
	refused, reasons := 0, map[string]int{}
	for _, tt := range targets {
		if tt.reason == "" {
			continue
		}
		refused++
		reasons[tt.reason]++
		c := safehttp.New(safehttp.Options{Resolver: resolver()})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tt.url, strings.NewReader("{}"))
		if err != nil {
			continue // it is no request at all
		}
		res, err := c.HTTP().Do(req)
		if err == nil {
			res.Body.Close()
		}
		if got := reasonOf(err); got != tt.reason {
			t.Errorf("a request to %q gives %q (%v), want %q", tt.url, got, err, tt.reason)
		}
	}
	rep.Figure("targets_refused", refused)
	rep.Figure("reasons", len(reasons))
}

// trap listens on loopback until the test ends and counts connections: one made by
// mistake is taken though nothing is sent.
func trap(t *testing.T) (port string, accepted *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = new(atomic.Int64)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); served.Wait() })
	return l.Addr().String()[strings.LastIndexByte(l.Addr().String(), ':'):], accepted
}

// Every way to say loopback, names that lead there, and redirects of an allowed
// host: nothing so much as connects to a listener there. That it would notice is
// shown by one that is allowed.
func TestNoConnectionIsMade(t *testing.T) {
	rep := report.Of(t, 4)
	port, accepted := trap(t)
	r := &names{answers: map[string][][]netip.Addr{
		"direct.example": {addrs("127.0.0.1")}, "six.example": {addrs("::1")}, "mapped.example": {addrs("::ffff:127.0.0.1")},
		"nat64.example": {addrs("64:ff9b::7f00:1")}, "mixed.example": {addrs("8.8.8.8", "127.0.0.1")}, "other.example": {addrs("127.0.0.2")},
	}}
	hosts := []string{
		"127.0.0.1", "127.0.0.2", "localhost", "[::1]", "0.0.0.0", "[::]", "127.1", "2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "127.0.0.1.",
		"[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]", "user@127.0.0.1",
		"direct.example", "six.example", "mapped.example", "nat64.example", "mixed.example", "other.example",
	}
	c := safehttp.New(safehttp.Options{Resolver: r})
	for _, host := range hosts {
		res, err := c.HTTP().Post("http://"+host+port+"/", "application/json", strings.NewReader("{}"))
		if err == nil {
			res.Body.Close()
			t.Errorf("%s is answered %s", host, res.Status)
		}
	}
	redirects := 0
	one := safehttp.New(safehttp.Options{Resolver: r, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		for _, to := range []string{"127.0.0.1", "127.0.0.2", "other.example", "[::1]"} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://"+to+port+"/")
				w.WriteHeader(status)
			}))
			res, err := one.HTTP().Post(srv.URL, "application/json", strings.NewReader("{}"))
			srv.Close()
			if err != nil || res.StatusCode != status {
				t.Errorf("%d to %s: %v", status, to, err)
				continue
			}
			res.Body.Close()
			redirects++
		}
	}
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d connections were made, want none", n)
	}
	rep.Figure("hosts", len(hosts))
	rep.Figure("redirects", redirects)
	rep.Figure("connections_made", accepted.Load())
	if _, err := one.HTTP().Get("http://direct.example" + port); err == nil || reasonOf(err) == "loopback" || accepted.Load() != 1 {
		t.Errorf("an allowed request gives %v and %d connections, want one that ends without an answer", err, accepted.Load())
	}
}

// A name that was public when the endpoint was made and is not any more.
func TestRebindingIsRefused(t *testing.T) {
	var accepted atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { accepted.Add(1) }))
	defer srv.Close()
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	r := &names{answers: map[string][][]netip.Addr{"flip.example": {addrs("8.8.8.8"), addrs("127.0.0.1")}}}
	c := safehttp.New(safehttp.Options{Resolver: r})
	if err := c.Check(t.Context(), "http://flip.example"+port); err != nil {
		t.Fatal(err)
	}
	_, err := c.HTTP().Get("http://flip.example" + port)
	if got := reasonOf(err); got != "loopback" {
		t.Errorf("got %v, want loopback", err)
	}
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// What is dialled is what was judged: there is one look-up, not two.
func TestOneLookup(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	r := &names{answers: map[string][][]netip.Addr{"flip.example": {addrs("127.0.0.1"), addrs("127.0.0.2")}}}
	c := safehttp.New(safehttp.Options{Resolver: r, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	res, err := c.HTTP().Get("http://flip.example" + srv.URL[strings.LastIndexByte(srv.URL, ':'):])
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if n := r.asked.Load(); n != 1 {
		t.Errorf("%d look-ups, want 1", n)
	}
}

func TestAllowOpensExactlyItsNetworks(t *testing.T) {
	c := safehttp.New(safehttp.Options{Resolver: resolver(), Allow: []netip.Prefix{
		netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd00::/16"),
	}})
	tests := []struct{ url, reason string }{
		{"http://10.1.0.0:1/", ""},
		{"http://10.1.255.255/", ""},
		{"http://10.0.255.255/", "private"},
		{"http://10.2.0.0/", "private"},
		{"http://127.9.9.9/", ""},
		{"http://[::1]/", "loopback"},
		{"http://[::ffff:127.0.0.1]/", "mapped"},
		{"http://[::ffff:10.1.2.3]/", "mapped"},
		{"http://[64:ff9b::10.1.2.3]/", "nat64"},
		{"http://[2002:a01:203::1]/", "6to4"},
		{"http://127.1/", "spelling"},
		{"http://[fd00::1]/", ""},
		{"http://[fd00::1%25eth0]/", "zone"},
		{"http://[fd01::1]/", "private"},
		{"http://inside.example/", ""},
		{"http://mixed.example/", ""},
		{"http://mapped.example/", ""}, // 127.0.0.1, as its name says
		{"http://169.254.169.254/", "metadata"},
	}
	for _, tt := range tests {
		if got := reasonOf(c.Check(t.Context(), tt.url)); got != tt.reason {
			t.Errorf("Check(%q) gives %q, want %q", tt.url, got, tt.reason)
		}
	}
}

func TestCheckOfNamesThatDoNotResolve(t *testing.T) {
	c := safehttp.New(safehttp.Options{Resolver: resolver()})
	err := c.Check(t.Context(), "https://nowhere.example/secret-path?token=abc")
	if hub.KindOf(err) != hub.Invalid || reasonOf(err) == "" {
		t.Errorf("got %v, want invalid", err)
	}
	broken := safehttp.New(safehttp.Options{Resolver: failing{}})
	if err := broken.Check(t.Context(), "https://public.example/"); hub.KindOf(err) != hub.Transient {
		t.Errorf("a resolver without an answer gives %v, want transient", err)
	}
}

type failing struct{}

func (failing) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
}

// Whatever the text, there is a verdict, and it repeats no secret.
func FuzzCheck(f *testing.F) {
	for _, tt := range targets {
		f.Add(tt.url)
	}
	c := safehttp.New(safehttp.Options{Resolver: resolver()})
	f.Fuzz(func(t *testing.T, text string) {
		err := c.Check(t.Context(), text+"?token=s3cret-s3cret")
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error repeats the URL: %v", err)
		}
	})
}
