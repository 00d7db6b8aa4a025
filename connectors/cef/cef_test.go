package cef

import (
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func now() time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) }

func reader(r io.Reader) connectors.Reading { return read(r, nil, now) }

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(reader)) }

func FuzzRead(f *testing.F) { connectortest.Fuzz(f, connectortest.Of(reader)) }

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Event
	}{
		{
			`CEF:0|a\|b|c\\d|1|x|n|5|k=v`,
			Event{Format: "CEF", Version: "0", Vendor: "a|b", Product: `c\d`, Release: "1", Class: "x", Name: "n", Severity: "5", Fields: map[string]string{"k": "v"}},
		},
		{
			`CEF:0|v|p|1|x|n|5|a=1 2  3 b==c=d e\=f=g h=`,
			Event{Format: "CEF", Version: "0", Vendor: "v", Product: "p", Release: "1", Class: "x", Name: "n", Severity: "5", Fields: map[string]string{"a": "1 2  3", "b": "=c=d e=f=g", "h": ""}},
		},
		{
			`CEF:0|v|p|1|x|n|5|url=http://h/?a=b&c=d path=C:\new\\x end=\`,
			Event{Format: "CEF", Version: "0", Vendor: "v", Product: "p", Release: "1", Class: "x", Name: "n", Severity: "5", Fields: map[string]string{"url": "http://h/?a=b&c=d", "path": "C:\new\\x", "end": `\`}},
		},
		{
			"LEEF:2.0|v|p|1|x|x5E|a=b=c^d= e ^f^=g",
			Event{Format: "LEEF", Version: "2.0", Vendor: "v", Product: "p", Release: "1", Class: "x", Fields: map[string]string{"a": "b=c", "d": " e"}},
		},
		{
			"LEEF:1.0|v|p|1|x|a=b\tsev=7",
			Event{Format: "LEEF", Version: "1.0", Vendor: "v", Product: "p", Release: "1", Class: "x", Severity: "7", Fields: map[string]string{"a": "b", "sev": "7"}},
		},
	} {
		got, err := Parse(tt.in)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tt.in, err, diff)
		}
	}
	for _, in := range []string{"", "CEF:0", "CEF:0|v|p|1|x", "LEEF:1.0|v|p", "LEEF:1.0|v|p|1||a=b", "CEF:0|v|p|1|||5|", "XEF:0|"} {
		if e, err := Parse(in); err == nil {
			t.Errorf("%q became %+v", in, e)
		}
	}
}

// What is escaped as the format has it comes back, whatever it is.
func TestEscapesComeBack(t *testing.T) {
	header := strings.NewReplacer(`\`, `\\`, `|`, `\|`)
	value := strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab =|\\nr\n.ü0")))
		name, msg := strings.TrimSpace(text.Draw(t, "name")), strings.TrimSpace(text.Draw(t, "msg"))
		in := "CEF:0|v|p|1|c|" + header.Replace(name) + "|5|src=1 msg=" + value.Replace(msg) + " dst=2"
		e, err := Parse(in)
		want := map[string]string{"src": "1", "msg": msg, "dst": "2"}
		if err != nil || e.Name != name || !cmp.Equal(want, e.Fields) {
			t.Fatalf("%q: %v, name %q, want %q; %s", in, err, e.Name, name, cmp.Diff(want, e.Fields))
		}
	})
}

func TestFind(t *testing.T) {
	for in, want := range map[string]int{
		"CEF:0|": 0, "x CEF:0|": 2, "LEEF:2.0|": 0, "see CEF: and CEF:1|": 13, "CEF:|": -1, "CEF: 0|": -1, "": -1, "EF:0|": -1, "LLEEF:1.0|": 1, "EEF:1|CEF:0|": 6,
	} {
		if got := Find(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func TestSeverity(t *testing.T) {
	for in, want := range map[string]hub.Severity{
		"0": hub.Low, "3": hub.Low, "4": hub.Medium, "6": hub.Medium, "7": hub.High, "8": hub.High, "9": hub.Critical, "10": hub.Critical,
		"Low": hub.Low, "medium": hub.Medium, "HIGH": hub.High, "Very-High": hub.Critical, "Unknown": hub.Medium, "": hub.Medium,
		"11": hub.High, "-1": hub.High, "purple": hub.High, "Informational": hub.Info,
	} {
		if got := (&Event{Severity: in}).severity(); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	c := clock{time.FixedZone("here", 3600), now}
	for _, tt := range []struct{ text, format, want string }{
		{"1795168800000", "", "2026-11-20T10:00:00Z"},
		{"Nov 20 2026 10:00:00", "", "2026-11-20T09:00:00Z"},
		{"Nov 20 2026 10:00:00.250 UTC", "", "2026-11-20T10:00:00.25Z"},
		{"Nov 20 2026 10:00:00 CEST", "", "2026-11-20T09:00:00Z"},
		{"Nov  1 10:00:00", "", "2026-11-01T09:00:00Z"},
		{"2026-11-20T10:00:00.5+02:00", "", "2026-11-20T08:00:00.5Z"},
		{"2026-11-20 10:00:00", "", "2026-11-20T09:00:00Z"},
		{"20.11.2026 10:00", "dd.MM.yyyy HH:mm", "2026-11-20T09:00:00Z"},
		{"Fri Nov 20 10:00:00 2026", "EEE MMM dd HH:mm:ss yyyy", "2026-11-20T09:00:00Z"},
		{"soon", "", "0001-01-01T00:00:00Z"},
	} {
		if got := c.read(tt.text, tt.format).UTC().Format(time.RFC3339Nano); got != tt.want {
			t.Errorf("%q by %q: %s, want %s", tt.text, tt.format, got, tt.want)
		}
	}
}

func TestReceive(t *testing.T) {
	s, err := Kind().Open(connectortest.Settings("name: c\nkind: cef\nauth: token\nsecret: right\ntimezone: Europe/Vienna"))
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("CEF:0|v|p|1|c|n|5|rt=Nov 20 2026 10:00:00\n" + strings.Repeat("x", maxLine) + "\nCEF:0|v|p|1|d|n|5|")
	b, err := s.(connectors.Receiver).Receive(t.Context(), connectors.Request{Header: http.Header{"Authorization": {"Bearer right"}}, Body: body})
	if err != nil || len(b.Findings) != 2 || len(b.Rejects) != 1 || b.Rejects[0].Index != 1 || b.Findings[0].ObservedAt.Hour() != 9 {
		t.Errorf("%+v, %v", b, err)
	}
	b, err = s.(connectors.Receiver).Receive(t.Context(), connectors.Request{Header: http.Header{"Authorization": {"Bearer wrong"}}, Body: body})
	if hub.KindOf(err) != hub.Unauthorized || len(b.Findings) > 0 {
		t.Errorf("wrong token: %+v, %v", b, err)
	}
	if _, err := Kind().Open(connectortest.Settings("name: c\nkind: cef\nauth: none\ntimezone: Mars")); err == nil {
		t.Error("there is no time zone Mars")
	}
}

func BenchmarkFinding(b *testing.B) {
	r := read(nil1{}, nil, now).(*reading)
	line := []byte(`<134>Nov 20 10:00:00 fw1 CEF:0|Vendor|Firewall|9|drop|Policy violation|8|src=10.0.0.8 dst=198.51.100.9 dpt=6667 spt=40000 proto=TCP act=deny rt=1795168800000 cs1=Outbound cs1Label=Policy msg=connection to a forbidden port`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.finding(line); err != nil {
			b.Fatal(err)
		}
	}
}

type nil1 struct{}

func (nil1) Read([]byte) (int, error) { return 0, io.EOF }
