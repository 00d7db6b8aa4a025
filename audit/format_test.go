package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write the example into FORMAT.md")

// exampleLog is the log in FORMAT.md.
func exampleLog(t *testing.T) (*memLog, *Key) {
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		t.Fatal(err)
	}
	key := NewKey(ed25519.NewKeyFromSeed(seed))
	s := NewSealer(key, "example", func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC) })
	l := &memLog{head: hub.AuditHead{Tenant: "default"}}
	login := hub.Audited(hub.Principal{
		Tenant: "default", Type: hub.ActorUser, ID: "usr_1", Email: "anna@example.org", IP: "192.0.2.1", UserAgent: "curl/8",
		Method: "POST", Path: "/api/v1/auth/login",
	}, "auth.login", "user", "usr_1")
	login.ID, login.ResponseStatus = "aud_1", 200
	accept := hub.AuditEntry{
		ID: "aud_2", Tenant: "default", UserID: "cybervault", ActorType: hub.ActorSource, Action: "finding.accept",
		ResourceType: "finding", ResourceID: "fnd_1", Outcome: hub.AuditSuccess,
		Details: jsontext.Value("{\"title\":\"caf\u00e9 \\\"\u20ac\\\"\\n\",\"count\":3}"),
	}
	refuse := hub.Audited(hub.System("default"), "webhook.attempt", "delivery", "dlv_1")
	refuse.ID, refuse.Outcome = "aud_3", hub.AuditFailure
	refuse.Details = new(hub.Details).Int("attempt", 1).Str("error", "timeout").Value()
	l.seal(t, s, []hub.AuditEntry{login})
	l.seal(t, s, []hub.AuditEntry{accept, refuse})
	return l, key
}

func exampleValues(l *memLog, key *Key) string {
	var b strings.Builder
	for i, e := range l.rows {
		fmt.Fprintf(&b, "integrity hash of entry %d  %s\n", i, hexHash(e.Hash))
	}
	fmt.Fprintf(&b, "SHA-256(0x01 ‖ 0 ‖ 1)      %s\n", hexHash(nodeHash(&l.rows[0].Hash, &l.rows[1].Hash)))
	fmt.Fprintf(&b, "root                       %s\n", hexHash(root(l.head.Frontier)))
	fmt.Fprintf(&b, "public key                 %s\n\n", key.VerifierKey(l.head.Log))
	return b.String() + string(l.head.Note)
}

// The example in FORMAT.md is what the code writes.
func TestFormatExample(t *testing.T) {
	l, key := exampleLog(t)
	doc, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	want := replaceBlock(doc, "ndjson", string(export(t, l, NDJSON, key)))
	want = replaceBlock(want, "text", exampleValues(l, key))
	if *update {
		if err := os.WriteFile("FORMAT.md", want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(doc, want) {
		t.Errorf("the example in FORMAT.md is not what is written; it should be\n%s", want[bytes.Index(want, []byte("## Example")):])
	}
	if rep := Verify(t.Context(), l, Options{Keys: keysOf(key)}); rep.Verdict != Intact {
		t.Error(&rep)
	}
}

func replaceBlock(doc []byte, kind, text string) []byte {
	block := regexp.MustCompile("(?s)```" + kind + "\n.*?```")
	return block.ReplaceAllLiteral(doc, []byte("```"+kind+"\n"+text+"```"))
}
