package wazuh

import (
	"flag"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func all(r io.Reader) connectors.Reading { return read(r, 0, nil) }

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(all)) }

func FuzzRead(f *testing.F) { connectortest.Fuzz(f, connectortest.Of(all)) }

func sample1(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/cases/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGuarded(t *testing.T) {
	connectortest.Guarded(t, Kind(), "", sample1(t, "sshd-brute-force/in.json"), 1)
}

func TestMinLevel(t *testing.T) {
	if _, err := Kind().Open(connectortest.Settings("name: w\nkind: wazuh\nauth: none\nmin_level: 17")); err == nil || !strings.Contains(err.Error(), "min_level") {
		t.Errorf("level 17 is none: %v", err)
	}
	s, err := Open(connectortest.Settings("name: w\nkind: wazuh\nauth: none\nmin_level: 4"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Receive(t.Context(), connectors.Request{Header: http.Header{}, Body: sample1(t, "vulnerability-active-and-solved/in.ndjson")})
	if err != nil || len(b.Findings) != 1 || len(b.Rejects) != 0 || string(s.Report()) != `{"below_min_level":1}` {
		t.Errorf("%d findings, %v, %v, %s; want one, and one below the level", len(b.Findings), b.Rejects, err, s.Report())
	}
}

// The same rule about the same thing on the same agent is one finding.
func TestIdentity(t *testing.T) {
	base := string(sample1(t, "sshd-brute-force/in.json"))
	id := func(change ...string) string {
		f, err := Map([]byte(strings.NewReplacer(change...).Replace(base)))
		if err != nil || len(f) != 1 {
			t.Fatalf("%v: %d findings, %v", change, len(f), err)
		}
		return f[0].SourceID
	}
	for _, same := range [][]string{{"1795198366.1423881", "2"}, {"51234", "9"}, {`"level":10`, `"level":11`}, {"18:12:46", "19:00:00"}, {`"firedtimes":2`, `"firedtimes":3`}, {"web-3", "renamed"}} {
		if id(same...) != id() {
			t.Errorf("%v made another finding", same)
		}
	}
	for _, other := range [][]string{{`"5763"`, `"5764"`}, {`"id":"003"`, `"id":"004"`}, {"203.0.113.44", "203.0.113.45"}, {`"dstuser":"root"`, `"dstuser":"admin"`}} {
		if id(other...) == id() {
			t.Errorf("%v made the same finding", other)
		}
	}
}

func TestIs(t *testing.T) {
	for in, want := range map[string]bool{
		`{"rule":{"id":"1","level":3},"agent":{}}`: true, `{"rule":{"id":1,"level":"3"},"manager":{}}`: true,
		`{"rule":{"id":"1"},"agent":{}}`: false, `{"rule":{"id":"1","level":3}}`: false, `{"rule":"x"}`: false, `7`: false,
	} {
		if Is([]byte(in)) != want {
			t.Errorf("%s: %v, want %v", in, !want, want)
		}
	}
}
