package syslogmsg

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/leodido/go-syslog/v4/rfc3164"
)

// now is the clock of all tests: in January, so that December is last year's.
func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Message
	}{
		{
			"RFC 3164, example 1", "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
			Message{Facility: 4, Severity: 2, Time: at("2025-10-11T22:14:15Z"), Host: "mymachine", App: "su", Text: "'su root' failed for lonvick on /dev/pts/8"},
		},
		{
			"RFC 3164, no header", "<13>Use the BFG!",
			Message{Facility: 1, Severity: 5, Text: "Use the BFG!"},
		},
		{
			"RFC 3164, example 4: a message of its own kind", "<0>1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!",
			Message{Facility: 0, Severity: 0, Time: at("1990-10-22T10:52:01Z"), Host: "TZ-6", Text: "scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!"},
		},
		{
			"process id", "<86>Dec 31 23:59:59 web1 sshd[4711]: Failed password for root from 192.0.2.7 port 22 ssh2\n",
			Message{Facility: 10, Severity: 6, Time: at("2025-12-31T23:59:59Z"), Host: "web1", App: "sshd", Proc: "4711", Text: "Failed password for root from 192.0.2.7 port 22 ssh2"},
		},
		{
			"no host", "<86>Jan  2 03:00:00 sshd[1]: hello",
			Message{Facility: 10, Severity: 6, Time: at("2026-01-02T03:00:00Z"), App: "sshd", Proc: "1", Text: "hello"},
		},
		{
			"no time", "<86>sshd[1]: hello",
			Message{Facility: 10, Severity: 6, App: "sshd", Proc: "1", Text: "hello"},
		},
		{
			"RFC 3339 time", "<134>2026-01-02T04:00:00.5+01:00 fw1 kernel: DROP IN=eth0",
			Message{Facility: 16, Severity: 6, Time: at("2026-01-02T03:00:00.5Z"), Host: "fw1", App: "kernel", Text: "DROP IN=eth0"},
		},
		{
			"Cisco ASA with year and host", "<166>Jan 01 2026 12:00:00 fw01 : %ASA-6-302013: Built inbound TCP",
			Message{Facility: 20, Severity: 6, Time: at("2026-01-01T12:00:00Z"), Host: "fw01", App: "%ASA-6-302013", Text: "Built inbound TCP"},
		},
		{
			"Cisco ASA without host", "<166>Jan 01 2026 12:00:00: %ASA-6-302013: Built inbound TCP",
			Message{Facility: 20, Severity: 6, Time: at("2026-01-01T12:00:00Z"), App: "%ASA-6-302013", Text: "Built inbound TCP"},
		},
		{
			"Cisco IOS with counters, milliseconds and zone", "<189>237: 000485: *Jan  1 19:46:03.295 CET: %SYS-5-CONFIG_I: Configured",
			Message{Facility: 23, Severity: 5, Time: at("2026-01-01T19:46:03.295Z"), App: "%SYS-5-CONFIG_I", Text: "Configured"},
		},
		{
			"CEF behind a header", "<134>Jan  1 11:07:53 host CEF:0|a|b|c|d|e|5|x=1",
			Message{Facility: 16, Severity: 6, Time: at("2026-01-01T11:07:53Z"), Host: "host", Text: "CEF:0|a|b|c|d|e|5|x=1"},
		},
		{"CEF alone", "CEF:0|a|b|c|d|e|5|x=1", Message{Facility: -1, Severity: -1, Text: "CEF:0|a|b|c|d|e|5|x=1"}},
		{
			"pairs without a header", `<189>date=2026-01-01 time=10:00:00 devname="FG"`,
			Message{Facility: 23, Severity: 5, Text: `date=2026-01-01 time=10:00:00 devname="FG"`},
		},
		{
			"JSON behind a tag", `<13>Jan  1 10:00:00 mgr ossec: {"rule":{"level":3}}`,
			Message{Facility: 1, Severity: 5, Time: at("2026-01-01T10:00:00Z"), Host: "mgr", App: "ossec", Text: `{"rule":{"level":3}}`},
		},
		{
			"IPv6 host", "<86>Jan  1 10:00:00 fe80::1 sshd[4711]: x",
			Message{Facility: 10, Severity: 6, Time: at("2026-01-01T10:00:00Z"), Host: "fe80::1", App: "sshd", Proc: "4711", Text: "x"},
		},
		{"an address is no tag", "<13>see http://a.example/ now", Message{Facility: 1, Severity: 5, Text: "see http://a.example/ now"}},
		{"no priority", "Jan  1 10:00:00 h a: t", Message{Facility: -1, Severity: -1, Time: at("2026-01-01T10:00:00Z"), Host: "h", App: "a", Text: "t"}},
		{"priority too high", "<192>x", Message{Facility: -1, Severity: -1, Text: "<192>x"}},
		{"priority empty", "<>x", Message{Facility: -1, Severity: -1, Text: "<>x"}},
		{"empty", "", Message{Facility: -1, Severity: -1}},
		{"only a priority", "<13>", Message{Facility: 1, Severity: 5}},
		{"broken UTF-8 and NULs", "<13>Jan  1 10:00:00 h a: \xff\xfe!\x00\r\n", Message{Facility: 1, Severity: 5, Time: at("2026-01-01T10:00:00Z"), Host: "h", App: "a", Text: "\ufffd!"}},
		{
			"RFC 5424, example 3", `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Appli\]cat\"ion"][x@1 a="b"] ` + "\ufeffAn application event",
			Message{
				Facility: 20, Severity: 5, Time: at("2003-10-11T22:14:15.003Z"), Host: "mymachine.example.com", App: "evntslog", ID: "ID47", Modern: true, Text: "An application event",
				Data: map[string]map[string]string{"exampleSDID@32473": {"iut": "3", "eventSource": `Appli]cat"ion`}, "x@1": {"a": "b"}},
			},
		},
		{"RFC 5424, all nil", "<165>1 - - - - - -", Message{Facility: 20, Severity: 5, Modern: true}},
		{
			"RFC 5424 with an error keeps all text", "<165>1 2003-10-11T22:14:15.003Z h a - - [broken CEF:0|a",
			Message{Facility: 20, Severity: 5, Text: "1 2003-10-11T22:14:15.003Z h a - - [broken CEF:0|a"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := (&Parser{Now: now}).Parse([]byte(tt.in))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestZone(t *testing.T) {
	zone := time.FixedZone("here", 2*3600)
	for in, want := range map[string]string{
		"<13>Jan  1 10:00:00 h a: t":                "2026-01-01T08:00:00Z",
		"<13>Jan  1 10:00:00 UTC: a: t":             "2026-01-01T10:00:00Z",
		"<13>2026-01-01T10:00:00+05:00 h a: t":      "2026-01-01T05:00:00Z",
		"<13>1 2026-01-01T10:00:00+05:00 h a - - -": "2026-01-01T05:00:00Z",
	} {
		if got := (&Parser{Now: now, Zone: zone}).Parse([]byte(in)).Time; !got.Equal(at(want)) {
			t.Errorf("%q: %v, want %s", in, got, want)
		}
	}
}

// What another parser reads as RFC 3164 we read the same.
func TestAgainstGoSyslog(t *testing.T) {
	other := rfc3164.NewParser(rfc3164.WithYear(rfc3164.Year{YYYY: 2026}), rfc3164.WithTimezone(time.UTC), rfc3164.WithRFC3339())
	for _, in := range []string{
		"<34>Jan 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
		"<13>Jan  1 10:00:00 mgr ossec: {}",
		"<86>Jan  1 10:00:00 10.0.0.1 sshd[4711]: Failed password",
		"<46>Jan  1 10:00:00 h rsyslogd: a: b: c",
		"<0>Jan 31 23:59:59 h a/b.c-d[1]: x",
	} {
		m, err := other.Parse([]byte(in))
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		o := m.(*rfc3164.SyslogMessage)
		want := Message{
			Facility: int(*o.Facility), Severity: int(*o.Severity), Time: *o.Timestamp,
			Host: value(o.Hostname), App: value(o.Appname), Proc: value(o.ProcID), Text: value(o.Message),
		}
		if diff := cmp.Diff(want, (&Parser{Now: now}).Parse([]byte(in))); diff != "" {
			t.Errorf("%q (-theirs +ours):\n%s", in, diff)
		}
	}
}

func TestNames(t *testing.T) {
	m := Message{Facility: 10, Severity: 4}
	if m.FacilityName() != "authpriv" || m.SeverityName() != "warning" {
		t.Errorf("%s.%s", m.FacilityName(), m.SeverityName())
	}
	m = Message{Facility: -1, Severity: -1}
	if m.FacilityName() != "" || m.SeverityName() != "" {
		t.Errorf("%q.%q, want none", m.FacilityName(), m.SeverityName())
	}
}

func FuzzParse(f *testing.F) {
	for _, in := range []string{
		"<34>Oct 11 22:14:15 mymachine su: x", "<189>237: 000485: *Jan  1 19:46:03.295 CET: %SYS-5-CONFIG_I: Configured",
		`<165>1 2003-10-11T22:14:15.003Z h e - ID47 [x@1 a="b"] y`, "<13>a[1] b", "", "<1>1 \xff",
	} {
		f.Add([]byte(in))
	}
	p := Parser{Now: now}
	f.Fuzz(func(t *testing.T, in []byte) {
		m := p.Parse(in)
		for _, s := range []string{m.Host, m.App, m.Proc, m.ID, m.Text} {
			if !utf8.ValidString(s) {
				t.Errorf("%q: %q is no UTF-8", in, s)
			}
		}
		if m.Severity < -1 || m.Severity > 7 || m.Facility < -1 || m.Facility > 23 {
			t.Errorf("%q: priority %d.%d", in, m.Facility, m.Severity)
		}
		whole := strings.ToValidUTF8(strings.TrimRight(string(in), "\r\n\x00"), "\ufffd")
		if !m.Modern && !strings.HasSuffix(whole, m.Text) {
			t.Errorf("%q became %q", in, m.Text)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, in := range map[string]string{
		"legacy": "<86>Dec 31 23:59:59 web1 sshd[4711]: Failed password for root from 192.0.2.7 port 22 ssh2",
		"modern": `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3"] An application event`,
	} {
		b.Run(name, func(b *testing.B) {
			p := Parser{Now: now}
			b.ReportAllocs()
			for b.Loop() {
				p.Parse([]byte(in))
			}
		})
	}
}
