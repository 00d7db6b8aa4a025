package syslog

import (
	"bytes"
	"flag"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write want.json of every case anew")

func now() time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) }

func opened(t testing.TB, text string) *Source {
	t.Helper()
	s, err := Open(connectortest.Settings(text))
	if err != nil {
		t.Fatal(err)
	}
	s.now = now
	return s
}

const rules = `
name: s
kind: syslog
listen: ["udp://127.0.0.1:0"]
rules:
  - name: failed ssh logins
    match: 'Failed password for (?:invalid user )?(?P<user>\S+) from (?P<ip>\S+)'
    when: input.app == "sshd"
    type: brute_force
    severity: medium
    title: Failed SSH logins of ${{ input.match.user }} from ${{ input.match.ip }}
  - name: emergencies
    when: input.severity_code >= 0 && input.severity_code <= 2
    labels: {cluster: '${{ input.data["meta@32473"].cluster }}'}
  - name: application errors
    when: has(input.json) && has(input.json.level) && input.json.level == "error" && !has(input.json.id)
    severity: ${{ input.json.level }}
    title: ${{ input.json.msg }}
    key: ${{ input.host }}/${{ input.json.msg }}
`

// reader reads a case as a connection does; in those named unmatched, what no
// rule fits becomes a finding too.
func reader(t testing.TB) connectortest.Read {
	s := opened(t, rules)
	return func(in []byte) (connectors.Batch, error) { return connectors.Collect(s.file(bytes.NewReader(in))) }
}

func TestCases(t *testing.T) {
	strict, all := reader(t), opened(t, rules+"unmatched: finding\n")
	connectortest.Cases(t, *update, func(in []byte) (connectors.Batch, error) {
		if bytes.Contains(in, []byte("no header at all")) {
			return connectors.Collect(all.file(bytes.NewReader(in)))
		}
		return strict(in)
	})
}

func FuzzMessages(f *testing.F) {
	all := opened(f, rules+"unmatched: finding\n")
	connectortest.Fuzz(f, func(in []byte) (connectors.Batch, error) { return connectors.Collect(all.file(bytes.NewReader(in))) })
}

func TestConfigFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "listen: want at least one",
		"listen: ['514']":                  "listen[0]",
		"listen: ['http://127.0.0.1:514']": "listen[0]",
		"listen: ['udp://127.0.0.1']":      "listen[0]",
		"listen: ['tls://:6514']":          "tls.cert",
		"listen: ['udp://:514']\nmax_message: 100":                             "max_message",
		"listen: ['udp://:514']\nmax_connections: 0":                           "max_connections",
		"listen: ['udp://:514']\ntimezone: Mars":                               "timezone",
		"listen: ['udp://:514']\nunmatched: maybe":                             "unmatched",
		"listen: ['udp://:514']\nidle_timeout: 1ms":                            "idle_timeout",
		"listen: ['udp://:514']\nrules: [{name: a}]":                           "rules[0]",
		"listen: ['udp://:514']\nrules: [{name: a, match: x, severity: loud}]": "severity",
	} {
		if _, err := Kind().Open(connectortest.Settings("name: s\nkind: syslog\n" + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestAllowed(t *testing.T) {
	s := opened(t, rules+"allow: [10.0.0.0/8, 'fd00::/8']\n")
	for addr, want := range map[string]bool{"10.1.2.3": true, "192.168.0.1": false, "fd00::1": true, "2001:db8::1": false} {
		if got := s.allowed(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
}

func BenchmarkMessages(b *testing.B) {
	s := opened(b, rules)
	for name, line := range map[string]string{
		"skipped": "<86>Nov 20 10:00:06 web1 sshd[4713]: Accepted publickey for deploy from 10.0.0.9 port 50022 ssh2",
		"rule":    "<86>Nov 20 10:00:00 web1 sshd[4711]: Failed password for root from 203.0.113.7 port 22 ssh2",
		"cef":     "<134>Nov 20 10:00:00 fw1 CEF:0|Vendor|Firewall|9|drop|Policy violation|Very-High|src=10.0.0.8 dst=198.51.100.9 dpt=6667 msg=denied",
	} {
		b.Run(name, func(b *testing.B) {
			m := s.mapper()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.findings([]byte(line), netip.Addr{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
