package safehttp_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tocsin/tocsin/internal/safehttp"
)

// A zone is a name server of a few names: CNAMEs by name, and addresses that
// change with each question.
type zone struct {
	t     *testing.T
	conn  net.PacketConn
	cname map[string]string
	mu    sync.Mutex
	a     map[string][][]netip.Addr // in turn, the last one for ever
	asked map[string]int
}

// newZone serves on loopback until the test ends, and gives a resolver that asks
// nobody else.
func newZone(t *testing.T, cname map[string]string, a map[string][][]netip.Addr) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{t: t, conn: conn, cname: cname, a: a, asked: map[string]int{}}
	var served sync.WaitGroup
	served.Go(z.serve)
	t.Cleanup(func() { conn.Close(); served.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z *zone) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := z.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(buf[:n]); err != nil || len(m.Questions) != 1 {
			z.t.Errorf("no question: %v", err)
			continue
		}
		m.Response, m.Authoritative, m.RecursionAvailable, m.Additionals = true, true, true, nil
		z.answer(&m)
		if out, err := m.Pack(); err == nil {
			_, _ = z.conn.WriteTo(out, from)
		}
	}
}

// answer follows the chain of CNAMEs and ends with the addresses of its end.
func (z *zone) answer(m *dnsmessage.Message) {
	q := m.Questions[0]
	name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	head := func(name string, kind dnsmessage.Type) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name + "."), Type: kind, Class: dnsmessage.ClassINET}
	}
	for z.cname[name] != "" {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: head(name, dnsmessage.TypeCNAME), Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(z.cname[name] + ".")},
		})
		name = z.cname[name]
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	all, known := z.a[name]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
		return
	}
	turn := z.asked[name+q.Type.String()]
	z.asked[name+q.Type.String()]++
	for _, a := range all[min(turn, len(all)-1)] {
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head(name, q.Type), Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head(name, q.Type), Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
}

// Real answers of a name server: chains of CNAMEs that end inside, mixed answers,
// and ones that change between two questions.
func TestAnswersOfANameServer(t *testing.T) {
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
	port := l.Addr().String()[strings.LastIndexByte(l.Addr().String(), ':'):]
	public := addrs("8.8.8.8", "2606:4700:4700::1111")
	r := newZone(t, map[string]string{
		"chain.example": "one.example", "one.example": "two.example", "two.example": "inside.example",
		"cloud.example": "meta.example", "fine.example": "public.example",
	}, map[string][][]netip.Addr{
		"public.example": {public}, "inside.example": {addrs("10.0.0.1")}, "meta.example": {addrs("169.254.169.254")},
		"mixed.example": {addrs("8.8.8.8", "::1")}, "flip.example": {public, addrs("127.0.0.1")}, "mapped.example": {addrs("::ffff:127.0.0.1")},
	})
	for host, tt := range map[string]struct{ check, dial string }{
		"chain.example":  {"private", "private"},
		"cloud.example":  {"metadata", "metadata"},
		"mixed.example":  {"loopback", "loopback"},
		"mapped.example": {"loopback", "loopback"},
		"flip.example":   {"", "loopback"},
		"fine.example":   {"", "-"}, // nobody is asked to go there
	} {
		c := safehttp.New(safehttp.Options{Resolver: r})
		if got := reasonOf(c.Check(t.Context(), "http://"+host+port+"/")); got != tt.check {
			t.Errorf("Check of %s gives %q, want %q", host, got, tt.check)
		}
		if tt.dial == "-" {
			continue
		}
		_, err := c.HTTP().Post("http://"+host+port+"/", "application/json", http.NoBody)
		if got := reasonOf(err); got != tt.dial {
			t.Errorf("a request to %s gives %q (%v), want %q", host, got, err, tt.dial)
		}
	}
}
