package connectors

import (
	"errors"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// rfcSecret is the secret of RFC 6238's vectors, "12345678901234567890".
const rfcSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

// TestCodes checks RFC 6238's vectors (appendix B, SHA-1), of which six digits
// are the last of the eight there.
func TestCodes(t *testing.T) {
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		c := Codes{Secret: secret.New(rfcSecret)}
		if got, err := c.Next(time.Unix(at, 0)); err != nil || got != want {
			t.Errorf("at %d: %s, %v; want %s", at, got, err, want)
		}
	}
	key, err := codeKey(secret.New(rfcSecret))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"gezd gnbv gy3t qojq gezd gnbv gy3t qojq", rfcSecret + "====", "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ"} {
		if k, err := codeKey(secret.New(text)); err != nil || string(k) != string(key) {
			t.Errorf("%s: %q, %v", text, k, err)
		}
	}
	if CheckCodes(secret.New("not base32!")) == nil || CheckCodes(secret.Secret{}) != nil || CheckCodes(secret.New(rfcSecret)) != nil {
		t.Error("a secret is judged wrongly")
	}
}

func TestCodeIsGivenOnce(t *testing.T) {
	c := Codes{Vendor: "Far", Secret: secret.New(rfcSecret)}
	at := time.Unix(1_111_111_101, 0)
	if _, err := c.Next(at); err != nil {
		t.Fatal(err)
	}
	_, err := c.Next(at.Add(5 * time.Second))
	var e *hub.Error
	if !errors.As(err, &e) || e.Kind != hub.RateLimited || e.RetryAfter != 4*time.Second {
		t.Fatalf("the same code again: %v, want a wait of 4s", err)
	}
	if got, err := c.Next(at.Add(9 * time.Second)); err != nil || got != codeAt([]byte("12345678901234567890"), 37037037) {
		t.Errorf("the next code: %s, %v", got, err)
	}
}

func TestOutcomeOfCodes(t *testing.T) {
	c := Codes{Vendor: "Far"}
	no := hub.E(hub.Unauthorized, "wrong")
	for i, step := range []struct {
		err  error
		want hub.Kind
	}{
		{no, hub.RateLimited},
		{hub.E(hub.Transient, "down"), hub.Transient},
		{no, hub.RateLimited},
		{no, hub.Unauthorized},
		{no, hub.Unauthorized},
		{nil, ""},
		{no, hub.RateLimited},
	} {
		if got := hub.KindOf(c.Outcome(step.err)); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}
