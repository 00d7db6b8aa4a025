package sign_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/relay/sign"
)

// The known answer that Svix publishes in its own tests.
const (
	knownSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	knownID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	knownTime   = 1614265330
	knownBody   = `{"test": 2432232314}`
	knownHeader = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func key(t testing.TB, text string) sign.Key {
	t.Helper()
	k, err := sign.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKnownAnswer(t *testing.T) {
	k := key(t, knownSecret)
	if got := sign.Sign(knownID, knownTime, []byte(knownBody), k); got != knownHeader {
		t.Errorf("Sign gives %q, want %q", got, knownHeader)
	}
	err := sign.Verify(knownID, fmt.Sprint(knownTime), knownHeader, []byte(knownBody), time.Unix(knownTime, 0), k)
	if err != nil {
		t.Errorf("Verify refuses the known answer: %v", err)
	}
}

// The form of RFC 4231, test case 2, which is the HMAC that Hex computes.
func TestHexKnownAnswer(t *testing.T) {
	const want = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
	if got := sign.Hex("Jefe", []byte("what do ya want for nothing?")); got != want {
		t.Errorf("Hex gives %s, want %s", got, want)
	}
}

func TestEachLiveSecretSigns(t *testing.T) {
	a, b := sign.NewSecret(), sign.NewSecret()
	got := sign.Sign("msg_1", 1, []byte("{}"), key(t, a), key(t, b))
	want := sign.Sign("msg_1", 1, []byte("{}"), key(t, a)) + " " + sign.Sign("msg_1", 1, []byte("{}"), key(t, b))
	if got != want {
		t.Errorf("two keys give %q, want %q", got, want)
	}
}

func TestTimestamped(t *testing.T) {
	mac := func(secret string) string { // by hand, from the scheme's description
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte("1700000000.{\"a\":1}"))
		return hex.EncodeToString(m.Sum(nil))
	}
	got := sign.Timestamped(1700000000, []byte(`{"a":1}`), "one", "two")
	if want := "t=1700000000,v1=" + mac("one") + ",v1=" + mac("two"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseSecret(t *testing.T) {
	encode := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"made by us", sign.NewSecret(), true},
		{"24 bytes", encode(24), true},
		{"64 bytes", encode(64), true},
		{"23 bytes", encode(23), false},
		{"65 bytes", encode(65), false},
		{"empty", "", false},
		{"prefix only", "whsec_", false},
		{"no prefix", strings.TrimPrefix(encode(32), "whsec_"), false},
		{"no padding", strings.TrimRight(encode(32), "="), false},
		{"line end within", "whsec_AAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAA", false},
		{"url alphabet", "whsec_" + strings.Repeat("-_", 16), false},
	}
	for _, tt := range tests {
		_, err := sign.ParseSecret(tt.text)
		if (err == nil) != tt.ok {
			t.Errorf("%s: error %v, want ok %v", tt.name, err, tt.ok)
		}
		if err != nil && len(tt.text) > 10 && strings.Contains(err.Error(), tt.text[6:16]) {
			t.Errorf("%s: the error repeats the secret: %v", tt.name, err)
		}
	}
}

func TestNewSecretIsNew(t *testing.T) {
	if a, b := sign.NewSecret(), sign.NewSecret(); a == b || len(a) != len("whsec_")+44 {
		t.Errorf("made %q and %q", a, b)
	}
}

func TestKeyDoesNotShow(t *testing.T) {
	k := key(t, knownSecret)
	type holder struct{ k sign.Key }
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(knownSecret, "whsec_"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{k, &k, holder{k}} {
			shown := fmt.Sprintf(verb, v)
			if strings.Contains(shown, string(raw)) || strings.Contains(strings.ToLower(shown), hex.EncodeToString(raw)) ||
				strings.Contains(shown, fmt.Sprint(raw)[1:20]) {
				t.Errorf("%s shows the key: %s", verb, shown)
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	now := time.Unix(knownTime, 0)
	other := key(t, sign.NewSecret())
	k := key(t, knownSecret)
	stamp := fmt.Sprint(knownTime)
	tests := []struct {
		name                 string
		id, stamp, signature string
		body                 string
		now                  time.Time
		key                  sign.Key
		want                 error
	}{
		{"good", knownID, stamp, knownHeader, knownBody, now, k, nil},
		{"good among others", knownID, stamp, "v1a,AAAA v1,AAAA " + knownHeader + " v9,x", knownBody, now, k, nil},
		{"five minutes late", knownID, stamp, knownHeader, knownBody, now.Add(5 * time.Minute), k, nil},
		{"301 s late", knownID, stamp, knownHeader, knownBody, now.Add(301 * time.Second), k, sign.ErrTimestamp},
		{"301 s early", knownID, stamp, knownHeader, knownBody, now.Add(-301 * time.Second), k, sign.ErrTimestamp},
		{"far future", knownID, "9223372036854775807", knownHeader, knownBody, now, k, sign.ErrTimestamp},
		{"far past", knownID, "-9223372036854775808", knownHeader, knownBody, now, k, sign.ErrTimestamp},
		{"fraction", knownID, stamp + ".0", knownHeader, knownBody, now, k, sign.ErrMalformed},
		{"leading zero", knownID, "0" + stamp, knownHeader, knownBody, now, k, sign.ErrMalformed},
		{"no time", knownID, "", knownHeader, knownBody, now, k, sign.ErrMalformed},
		{"no id", "", stamp, knownHeader, knownBody, now, k, sign.ErrMalformed},
		{"dot in id", "msg.1", stamp, knownHeader, knownBody, now, k, sign.ErrMalformed},
		{"no signature", knownID, stamp, "", knownBody, now, k, sign.ErrMalformed},
		{"other body", knownID, stamp, knownHeader, knownBody + " ", now, k, sign.ErrSignature},
		{"other id", knownID + "x", stamp, knownHeader, knownBody, now, k, sign.ErrSignature},
		{"other time", knownID, fmt.Sprint(knownTime + 1), knownHeader, knownBody, now, k, sign.ErrSignature},
		{"other key", knownID, stamp, knownHeader, knownBody, now, other, sign.ErrSignature},
		{"cut signature", knownID, stamp, knownHeader[:20], knownBody, now, k, sign.ErrSignature},
		{"other scheme only", knownID, stamp, "v2" + knownHeader[2:], knownBody, now, k, sign.ErrSignature},
	}
	for _, tt := range tests {
		if got := sign.Verify(tt.id, tt.stamp, tt.signature, []byte(tt.body), tt.now, tt.key); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestVerifyLegacyRefuses(t *testing.T) {
	now, body := time.Unix(1700000000, 0), []byte(`{"a":1}`)
	good := sign.Timestamped(now.Unix(), body, "new")
	if err := sign.VerifyTimestamped(good, body, now, "old", "new"); err != nil {
		t.Errorf("a good header is refused: %v", err)
	}
	for _, header := range []string{"", "t=", "v1=00", "t=1700000000", "t=1700000000,", "t=1700000000,v1=", "t=1700000000,v1=zz"} {
		if sign.VerifyTimestamped(header, body, now, "new") == nil {
			t.Errorf("%q is accepted", header)
		}
	}
	if sign.VerifyTimestamped(good, body, now.Add(301*time.Second), "new") != sign.ErrTimestamp {
		t.Error("an old header is accepted")
	}
	if sign.VerifyTimestamped(sign.Timestamped(now.Unix(), body, ""), body, now, "") == nil {
		t.Error("an empty secret verifies")
	}
	if sign.VerifyHex(sign.Hex("", body), body, "") == nil || sign.VerifyHex("", body, "s") == nil || sign.VerifyHex("zz", body, "s") == nil {
		t.Error("a bad hex signature is accepted")
	}
	if err := sign.VerifyHex(strings.ToUpper(sign.Hex("s", body)), body, "s"); err != nil {
		t.Errorf("upper case hex is refused: %v", err)
	}
}

// Any change of any part is refused.
func TestAnyChangeIsRefused(t *testing.T) {
	k := key(t, sign.NewSecret())
	rapid.Check(t, func(t *rapid.T) {
		id := "msg_" + rapid.StringMatching(`[0-9A-Z]{1,80}`).Draw(t, "id")
		body := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "body")
		unix := rapid.Int64Range(0, 1<<35).Draw(t, "unix")
		header := sign.Sign(id, unix, body, k)
		at := time.Unix(unix, 0)
		if err := sign.Verify(id, fmt.Sprint(unix), header, body, at, k); err != nil {
			t.Fatalf("refuses what Sign made: %v", err)
		}
		i := rapid.IntRange(0, len(body)-1).Draw(t, "at")
		body[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if sign.Verify(id, fmt.Sprint(unix), header, body, at, k) == nil {
			t.Fatal("accepts a changed body")
		}
	})
}

func BenchmarkSign(b *testing.B) {
	body, secret := make([]byte, 1024), sign.NewSecret()
	b.ReportAllocs()
	for b.Loop() {
		k, _ := sign.ParseSecret(secret)
		sign.Sign(knownID, knownTime, body, k)
	}
}
