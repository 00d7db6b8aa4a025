package cybervault

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
	sim "github.com/tocsin/tocsin/test/sim/cybervault"
)

func opened(t *testing.T, text string, client *http.Client) *Source {
	t.Helper()
	s, err := Open(settings(text, client))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signature is made as the document's Python example makes it.
func signature(body string) string {
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

const created = `{"id":"evt_1","type":"alert.created","created_at":"2025-06-14T14:02:13Z",` +
	`"data":{"id":"alt_1","severity":"high","type":"xss","asset_id":"srv_1","created_at":"2025-06-14T14:02:11Z","status":"open"}}`

func TestReceive(t *testing.T) {
	connectortest.Receive(t, opened(t, config1, &http.Client{}), connectortest.Push{
		Name: "alert.created", Body: []byte(created), Header: http.Header{"X-Cv-Signature": {signature(created)}},
		Signed: "X-CV-Signature", Want: 1,
	})
}

// TestKnownSignature was computed with another program's HMAC (openssl dgst).
func TestKnownSignature(t *testing.T) {
	s := opened(t, config1, &http.Client{})
	if !s.signed("3e68b7ac0289c5d33f8f7d82f4db1d6d2eb10768aef72c9d0a20c81b30e8c6fb", []byte(`{"type":"alert.created"}`)) {
		t.Error("a signature made by openssl is refused")
	}
}

func TestWebhooksThatAreOfNoUse(t *testing.T) {
	s := opened(t, config1, &http.Client{})
	tests := []struct {
		name, body string
		rejects    int
		kind       hub.Kind
	}{
		{"unknown type", `{"id":"1","type":"user.created","data":{}}`, 1, ""},
		{"alert without id", `{"id":"1","type":"alert.created","data":{"severity":"low"}}`, 1, ""},
		{"no data", `{"id":"1","type":"alert.resolved"}`, 1, ""},
		{"no asset", `{"id":"1","type":"compliance.failed","data":{}}`, 1, ""},
		{"no object", `[1]`, 0, hub.Malformed},
		{"a name twice", `{"type":"alert.created","type":"alert.resolved"}`, 0, hub.Malformed},
		{"no JSON", `hello`, 0, hub.Malformed},
	}
	for _, tt := range tests {
		h := http.Header{"X-Cv-Signature": {signature(tt.body)}}
		b, err := s.Receive(t.Context(), connectors.Request{Header: h, Body: []byte(tt.body)})
		if len(b.Findings) > 0 || len(b.Rejects) != tt.rejects || hub.KindOf(err) != tt.kind {
			t.Errorf("%s: %+v, %v", tt.name, b, err)
		}
	}
}

func TestNoSecretMeansNoWebhooks(t *testing.T) {
	s := opened(t, strings.Replace(config1, ", webhook_secret: "+webhookSecret, "", 1), &http.Client{})
	empty := hmac.New(sha256.New, nil)
	empty.Write([]byte(created))
	h := http.Header{"X-Cv-Signature": {hex.EncodeToString(empty.Sum(nil))}}
	if _, err := s.Receive(t.Context(), connectors.Request{Header: h, Body: []byte(created)}); hub.KindOf(err) != hub.Unauthorized {
		t.Errorf("signed with an empty secret: %v, want it refused", err)
	}
}

// TestReopenedBehindAWebhook: a webhook resolves an alert in the hub, and it is
// opened again before a pull comes by. The pull, whose memory says open, must
// say so all the same.
func TestReopenedBehindAWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config1)
		id := b.sim.Add(1)[0]
		b.pull(t)

		b.sim.Change(id, "resolved", "")
		body := string(sim.Event("evt_9", "alert.resolved", time.Now(), b.sim.Alerts()[0]))
		batch, err := b.source.Receive(t.Context(), connectors.Request{
			Header: http.Header{"X-Cv-Signature": {signature(body)}}, Body: []byte(body),
		})
		if err != nil || len(batch.Findings) != 1 {
			t.Fatalf("webhook: %+v, %v", batch, err)
		}
		resolve := batch.Findings[0]
		b.sim.Change(id, "open", "")
		b.got = nil
		b.pull(t)
		if len(b.got) != 1 || b.got[0].Status != hub.FindingOpen || !b.got[0].ObservedAt.After(resolve.ObservedAt) {
			t.Fatalf("after the reopening the pull says %+v; want it open, after %v", b.got, resolve.ObservedAt)
		}
		b.got = nil
		b.pull(t)
		if len(b.got) > 0 {
			t.Errorf("the next pull says it again: %+v", b.got)
		}
	})
}
