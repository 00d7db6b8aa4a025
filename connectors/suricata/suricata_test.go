package suricata

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

func both(r io.Reader) connectors.Reading { return read(r, &counter{}, []string{"alert", "anomaly"}) }

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(both)) }

func FuzzRead(f *testing.F) { connectortest.Fuzz(f, connectortest.Of(both)) }

func TestGuarded(t *testing.T) {
	body, err := os.ReadFile("testdata/cases/alert-http/in.json")
	if err != nil {
		t.Fatal(err)
	}
	connectortest.Guarded(t, Kind(), "", body, 1)
}

func TestConfig(t *testing.T) {
	_, err := Kind().Open(connectortest.Settings("name: s\nkind: suricata\nauth: none\nevents: [alert, flow]"))
	if err == nil || !strings.Contains(err.Error(), `events[1]: "flow"`) {
		t.Errorf("flow is no event that becomes a finding: %v", err)
	}
}

func TestSkippedAreCounted(t *testing.T) {
	source, err := Open(connectortest.Settings("name: s\nkind: suricata\nauth: none"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile("testdata/cases/ndjson-mixed/in.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	b, err := source.Receive(t.Context(), connectors.Request{Header: http.Header{}, Body: body})
	if err != nil || len(b.Findings) != 2 || len(b.Rejects) != 2 || b.Rejects[0].Index != 2 || b.Rejects[1].Index != 5 {
		t.Errorf("%d findings, %v, %v", len(b.Findings), b.Rejects, err)
	}
	if got, want := string(source.Report()), `{"taken":2,"skipped":{"dns":1,"flow":1,"stats":1}}`; got != want {
		t.Errorf("report %s, want %s", got, want)
	}
}

// The same signature between the same ends is one finding, whatever differs
// from packet to packet; other ends or another signature are another.
func TestIdentity(t *testing.T) {
	id := func(change ...string) string {
		f, err := Map([]byte(strings.NewReplacer(change...).Replace(
			`{"timestamp":"T","event_type":"alert","flow_id":1,"src_ip":"10.0.0.1","src_port":1111,"dest_ip":"10.0.0.2","dest_port":80,` +
				`"alert":{"gid":1,"signature_id":7,"rev":1,"signature":"S","severity":1,"action":"allowed"}}`)))
		if err != nil || len(f) != 1 {
			t.Fatalf("%v: %d findings, %v", change, len(f), err)
		}
		return f[0].SourceID
	}
	for _, same := range [][]string{{`"rev":1`, `"rev":2`}, {"1111", "2222"}, {`"severity":1`, `"severity":3`}, {`"flow_id":1`, `"flow_id":2`}, {`"S"`, `"T"`}, {"allowed", "blocked"}} {
		if id(same...) != id() {
			t.Errorf("%v made another finding", same)
		}
	}
	for _, other := range [][]string{{`"gid":1`, `"gid":2`}, {`"signature_id":7`, `"signature_id":8`}, {"10.0.0.1", "10.0.0.3"}, {"10.0.0.2", "10.0.0.3"}, {`"dest_port":80`, `"dest_port":81`}} {
		if id(other...) == id() {
			t.Errorf("%v made the same finding", other)
		}
	}
}

func TestIs(t *testing.T) {
	for in, want := range map[string]bool{
		`{"event_type":"alert","alert":{}}`: true, `{"event_type":"dns","flow_id":1}`: true,
		`{"event_type":"login"}`: false, `{"alert":{}}`: false, `[]`: false, `{`: false,
	} {
		if Is([]byte(in)) != want {
			t.Errorf("%s: %v, want %v", in, !want, want)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	in, err := os.ReadFile("testdata/cases/et-metadata/in.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if f, err := Map(in); err != nil || len(f) != 1 {
			b.Fatal(err)
		}
	}
}
