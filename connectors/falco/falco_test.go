package falco

import (
	"flag"
	"os"
	"testing"

	"github.com/tocsin/tocsin/connectors/connectortest"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(read)) }
func FuzzRead(f *testing.F)  { connectortest.Fuzz(f, connectortest.Of(read)) }

func TestGuarded(t *testing.T) {
	body, err := os.ReadFile("testdata/cases/shell-in-a-container/in.json")
	if err != nil {
		t.Fatal(err)
	}
	connectortest.Guarded(t, Kind(), "", body, 1)
}

// What differs each time a rule catches the same is no part of the identity.
func TestIdentity(t *testing.T) {
	const base = `{"rule":"R","priority":"Notice","hostname":"h","output_fields":{"proc.name":"nc","fd.name":"10.0.0.5:41234->1.2.3.4:443","proc.pid":7}}`
	of := func(in string) string {
		b, err := connectortest.Of(read)([]byte(in))
		if err != nil || len(b.Findings) != 1 {
			t.Fatalf("%s: %+v, %v", in, b, err)
		}
		return b.Findings[0].SourceID + " " + string(b.Findings[0].Payload)
	}
	for name, c := range map[string]struct {
		in   string
		same bool
	}{
		"another process id, port, severity, time": {`{"rule":"R","priority":"Error","hostname":"h","time":"2026-01-01T00:00:00Z","output":"x","output_fields":{"proc.name":"nc","fd.name":"10.0.0.5:51111->1.2.3.4:443","proc.pid":8,"evt.num":9}}`, true},
		"a null for what is missing":               {`{"rule":"R","priority":"Notice","hostname":"h","output_fields":{"proc.name":"nc","fd.name":"10.0.0.5:41234->1.2.3.4:443","container.id":null}}`, true},
		"another peer":                             {`{"rule":"R","priority":"Notice","hostname":"h","output_fields":{"proc.name":"nc","fd.name":"10.0.0.5:41234->1.2.3.4:444"}}`, false},
		"another host":                             {`{"rule":"R","priority":"Notice","hostname":"i","output_fields":{"proc.name":"nc","fd.name":"10.0.0.5:41234->1.2.3.4:443"}}`, false},
		"a name that stands elsewhere":             {`{"rule":"R","priority":"Notice","hostname":"h","output_fields":{"user.name":"nc","fd.name":"10.0.0.5:41234->1.2.3.4:443"}}`, false},
	} {
		if got := of(c.in) == of(base); got != c.same {
			t.Errorf("%s: same %v, want %v:\n%s\n%s", name, got, c.same, of(c.in), of(base))
		}
	}
}
