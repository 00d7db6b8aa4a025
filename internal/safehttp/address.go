package safehttp

import (
	"net/netip"
	"net/url"
	"syscall"

	"code.dny.dev/ssrf"

	"github.com/tocsin/tocsin/hub"
)

// A Refused says that a target is not one the hub sends to. Trying again does
// not help; the URL or relay.allow_networks has to change.
type Refused struct {
	// Reason names the rule in a few words that never change, such as loopback
	// or metadata.
	Reason string
	// Address is what was refused, for the log; "" where the URL itself was.
	Address string
	hint    string
}

// Error gives a sentence without the address, which may tell of a network
// that the reader does not know.
func (r *Refused) Error() string {
	hint := r.hint
	if hint == "" {
		hint = "use a public address, or open its network in relay.allow_networks"
	}
	return "the target is refused (" + r.Reason + "): " + hint
}

// Unwrap gives the same as an error for the caller.
func (r *Refused) Unwrap() error { return hub.E(hub.Invalid, r.Error()) }

// A guard judges addresses.
type guard struct {
	allow    []netip.Prefix
	public   *ssrf.Guardian
	resolver Resolver
	proxy    *url.URL
}

func newGuard(o Options) guard {
	return guard{allow: o.Allow, resolver: o.Resolver, proxy: o.Proxy, public: ssrf.New(ssrf.WithAnyPort())}
}

// control is called with the concrete address before a connection is made.
func (g *guard) control(network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return &Refused{Reason: "not an address", Address: address}
	}
	return g.judge(ap.Addr())
}

// judge refuses an address. What the allow-list holds is open in exactly the
// spelling it has there: a mapped address is not in an IPv4 network.
func (g *guard) judge(a netip.Addr) error {
	if a.Zone() == "" {
		for _, p := range g.allow {
			if p.Contains(a) {
				return nil
			}
		}
	}
	if why := reason(a); why != "" {
		return &Refused{Reason: why, Address: a.String()}
	}
	// The list above gives names; this one decides, and is kept up elsewhere.
	if g.public.SafeAddr(a) != nil {
		return &Refused{Reason: "special", Address: a.String()}
	}
	return nil
}

// A rule names a network. The first that fits gives the reason.
type rule struct {
	net  netip.Prefix
	name string
}

func rules(pairs ...string) []rule {
	out := make([]rule, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, rule{netip.MustParsePrefix(pairs[i]), pairs[i+1]})
	}
	return out
}

var special = rules(
	"169.254.169.254/32", "metadata", // AWS, Azure, GCP, OpenStack and most others
	"169.254.170.2/32", "metadata", // AWS containers
	"169.254.170.23/32", "metadata", // AWS EKS
	"100.100.100.200/32", "metadata", // Alibaba
	"192.0.0.192/32", "metadata", // Oracle
	"168.63.129.16/32", "metadata", // Azure's host, a public address
	"0.0.0.0/8", "unspecified",
	"127.0.0.0/8", "loopback",
	"10.0.0.0/8", "private",
	"172.16.0.0/12", "private",
	"192.168.0.0/16", "private",
	"100.64.0.0/10", "shared",
	"169.254.0.0/16", "link-local",
	"192.0.2.0/24", "documentation",
	"198.51.100.0/24", "documentation",
	"203.0.113.0/24", "documentation",
	"198.18.0.0/15", "benchmark",
	"224.0.0.0/4", "multicast",
	"255.255.255.255/32", "broadcast",
	"240.0.0.0/4", "reserved",

	"::/128", "unspecified",
	"::1/128", "loopback",
	"::ffff:0:0/96", "mapped",
	"::ffff:0:0:0/96", "translated", // SIIT
	"64:ff9b::/96", "nat64",
	"64:ff9b:1::/48", "nat64",
	"fd00:ec2::254/128", "metadata",
	"fd00:ec2::23/128", "metadata",
	"fd20:ce::254/128", "metadata",
	"fe80::/10", "link-local",
	"fec0::/10", "private",
	"fc00::/7", "private",
	"ff00::/8", "multicast",
	"100::/64", "discard",
	"2001::/32", "teredo",
	"2001:db8::/32", "documentation",
	"3fff::/20", "documentation",
	"2001:2::/48", "benchmark",
	"2002::/16", "6to4",
)

// reason names what is special about an address, "" for nothing known.
func reason(a netip.Addr) string {
	if a.Zone() != "" {
		return "zone"
	}
	for _, r := range special {
		if r.net.Contains(a) {
			return r.name
		}
	}
	if isatap(a) {
		return "isatap"
	}
	return ""
}

// isatap reports whether the last half of an IPv6 address carries an IPv4 one
// to which a router may tunnel (RFC 5214).
func isatap(a netip.Addr) bool {
	if !a.Is6() {
		return false
	}
	b := a.As16()
	return b[8]&^0x03 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}
