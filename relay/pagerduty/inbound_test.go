package pagerduty_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/pagerduty"
	sim "github.com/tocsin/tocsin/test/sim/pagerduty"
)

func TestVerify(t *testing.T) {
	body := []byte(`{"event":{}}`)
	// Computed by: printf '%s' '{"event":{}}' | openssl dgst -sha256 -hmac secret
	const known = "v1=2c984a26b96792f49173390b114619a17f5699a0bb42f13aff472b980b3080b5"
	if sim.Sign("secret", body) != known {
		t.Fatalf("the simulator signs %s, openssl %s", sim.Sign("secret", body), known)
	}
	for _, c := range []struct {
		name   string
		secret string
		header []string
		want   bool
	}{
		{"one", "secret", []string{known}, true},
		{"the second of two", "secret", []string{"v1=00," + known}, true},
		{"the first of two", "secret", []string{known + ",v1=zz"}, true},
		{"in a second header", "secret", []string{"v1=00", known}, true},
		{"spaces", "secret", []string{" v1=00 , " + known + " "}, true},
		{"another secret", "other", []string{known}, false},
		{"no secret", "", []string{sim.Sign("", body)}, false},
		{"none", "secret", nil, false},
		{"empty", "secret", []string{""}, false},
		{"half", "secret", []string{known[:35]}, false},
		{"twice as long", "secret", []string{known + known[3:]}, false},
		{"without version", "secret", []string{known[3:]}, false},
		{"another version", "secret", []string{"v0=" + known[3:]}, false},
	} {
		if got := pagerduty.Verify(c.secret, c.header, body); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if pagerduty.Verify("secret", []string{known}, append(body, ' ')) {
		t.Error("a body with a blank more verifies")
	}
}

func TestReadInbound(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       pagerduty.Inbound
	}{
		{
			"incident", `{"event":{"id":"e1","event_type":"incident.reassigned","resource_type":"incident","occurred_at":"2020-10-02T18:45:22.169Z",
				"agent":{"id":"P1","type":"user_reference","summary":"Ada"},"client":{"name":"PagerDuty"},"data":{"id":"Q1","type":"incident","incident_key":"alt_1:g2",
				"html_url":"https://x/Q1","summary":"t","priority":{"id":"PR","summary":"P1"},"assignees":[{"id":"P2","summary":"Grace"}],"new":{"field":1}}}}`,
			pagerduty.Inbound{
				ID: "e1", Type: "incident.reassigned", Agent: pagerduty.Agent{ID: "P1", Type: "user_reference", Summary: "Ada"},
				Incident: pagerduty.Incident{ID: "Q1", Key: "alt_1:g2", URL: "https://x/Q1", Priority: "P1", Assignees: []string{"Grace"}},
			},
		},
		{
			"note", `{"event":{"id":"e2","event_type":"incident.annotated","agent":null,"data":{"id":"N1","type":"incident_note","content":"hello","incident":{"id":"Q1","html_url":"https://x/Q1"}}}}`,
			pagerduty.Inbound{ID: "e2", Type: "incident.annotated", Note: "hello", Incident: pagerduty.Incident{ID: "Q1", URL: "https://x/Q1"}},
		},
		{
			"nulls", `{"event":{"id":"e3","event_type":"incident.acknowledged","agent":null,"data":{"id":"Q1","incident_key":null,"priority":null,"assignees":null}}}`,
			pagerduty.Inbound{ID: "e3", Type: "incident.acknowledged", Incident: pagerduty.Incident{ID: "Q1"}},
		},
		{
			"of something else", `{"event":{"id":"e4","event_type":"service.updated","data":{"content":{"no":"text"}}}}`,
			pagerduty.Inbound{ID: "e4", Type: "service.updated"},
		},
		{"without data", `{"event":{"id":"e5","event_type":"pagey.ping"}}`, pagerduty.Inbound{ID: "e5", Type: "pagey.ping"}},
	} {
		got, err := pagerduty.ReadInbound([]byte(c.body))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	for _, body := range []string{"", "{", "[]", `{"event":{}}`, `{"event":{"id":"x"}}`, `{"messages":[]}`, `{"event":{"id":1,"event_type":"x"}}`} {
		if _, err := pagerduty.ReadInbound([]byte(body)); hub.KindOf(err) != hub.Malformed {
			t.Errorf("%s gives %v, want malformed", body, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		id         hub.AlertID
		generation int64
	}{{"alt_01", 1}, {"alt_01K0000000000000000000000A", 12}, {hub.AlertID("alt_" + strings.Repeat("x", 300)), 9_000_000_000_000_000_000}} {
		key := pagerduty.Key(c.id, c.generation)
		id, generation, ours := pagerduty.ReadKey(key)
		if len(key) > 255 || !ours || generation != c.generation || !strings.HasPrefix(string(c.id), string(id)) {
			t.Errorf("%s of %d gives %q, which is read as %q, %d, %v", c.id, c.generation, key, id, generation, ours)
		}
	}
	for _, key := range []string{"", "alt_1", "alt_1:g", "alt_1:g0", "alt_1:g-1", "alt_1:g+1", "alt_1:g01", "alt_1:g1 ", "inc_1:g1", "endpoint:chn_1", "d3640fbd41094207a1c11e58e46b1662", "alt_1:g1:g2"} {
		if id, generation, ours := pagerduty.ReadKey(key); ours {
			t.Errorf("%q is read as %s, %d", key, id, generation)
		}
	}
}

// Whatever is signed and sent, reading it neither panics nor names an alert of
// ours that Key would name otherwise.
func FuzzReadInbound(f *testing.F) {
	f.Add([]byte(`{"event":{"id":"e","event_type":"incident.acknowledged","data":{"id":"Q","incident_key":"alt_1:g1"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := pagerduty.ReadInbound(body)
		if err != nil {
			return
		}
		if id, generation, ours := pagerduty.ReadKey(in.Incident.Key); ours && pagerduty.Key(id, generation) != in.Incident.Key {
			t.Errorf("%q is read as %s of generation %d", in.Incident.Key, id, generation)
		}
	})
}
