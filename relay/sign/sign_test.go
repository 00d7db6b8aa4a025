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

// The known answer that Svix publishes for its key pairs, which it writes without
// the prefix. ed25519 signs the same the same way every time.
func TestKnownAnswerOfAPair(t *testing.T) {
	const (
		text   = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
		header = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
	)
	k := key(t, "whsk_"+text)
	if got := sign.Sign(knownID, knownTime, []byte(knownBody), k); got != header {
		t.Errorf("Sign gives %q, want %q", got, header)
	}
	half, err := sign.ParsePublic(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, verifier := range map[string]sign.Key{"pair": k, "public half": half} {
		check := func(header, body string) error {
			return sign.Verify(knownID, fmt.Sprint(knownTime), header, []byte(body), time.Unix(knownTime, 0), verifier)
		}
		if err := check("v1,AAAA "+header, knownBody); err != nil {
			t.Errorf("the %s refuses the known answer: %v", name, err)
		}
		if check(header, knownBody+" ") == nil || check("v1"+header[3:], knownBody) == nil || check(header[:60], knownBody) == nil {
			t.Errorf("the %s accepts another body, another scheme or a part of the signature", name)
		}
	}
	if half.Public() != k.Public() || key(t, knownSecret).Public() != "" {
		t.Error("the public halves are not what they should be")
	}
}

// What two keys of different kinds sign, each finds its own entry in.
func TestSchemesStandSideBySide(t *testing.T) {
	one, two := key(t, sign.NewSecret()), key(t, sign.NewPair())
	got := sign.Sign("msg_1", 7, []byte("{}"), one, two)
	if parts := strings.Split(got, " "); len(parts) != 2 || !strings.HasPrefix(parts[0], "v1,") || !strings.HasPrefix(parts[1], "v1a,") {
		t.Errorf("two keys give %q", got)
	}
	for _, k := range []sign.Key{one, two} {
		if err := sign.Verify("msg_1", "7", got, []byte("{}"), time.Unix(7, 0), k); err != nil {
			t.Errorf("%q is refused: %v", got, err)
		}
	}
	if sign.Verify("msg_1", "7", got, []byte("{}"), time.Unix(7, 0), key(t, sign.NewPair()), key(t, sign.NewSecret())) == nil {
		t.Error("other keys accept it")
	}
}

func TestParsePair(t *testing.T) {
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(sign.NewPair(), "whsk_"))
	other, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(sign.NewPair(), "whsk_"))
	text := func(b ...byte) string { return base64.StdEncoding.EncodeToString(b) }
	mixed := append(append([]byte{}, raw[:32]...), other[32:]...)
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"seed and half":       {"whsk_" + text(raw...), true},
		"seed alone":          {"whsk_" + text(raw[:32]...), true},
		"half of another":     {"whsk_" + text(mixed...), false},
		"too short":           {"whsk_" + text(raw[:31]...), false},
		"no base64":           {"whsk_***", false},
		"public half in vain": {"whpk_" + text(raw[32:]...), false},
	} {
		if _, err := sign.ParseSecret(tt.text); (err == nil) != tt.ok {
			t.Errorf("%s: error %v, want ok %v", name, err, tt.ok)
		}
	}
	for _, text := range []string{"", "whpk_", "whpk_" + text(raw...), "whsec_" + text(raw[32:]...), "whsk_" + text(raw[32:]...)} {
		if _, err := sign.ParsePublic(text); err == nil {
			t.Errorf("%q is taken for a public key", text)
		}
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
	type holder struct{ k sign.Key }
	for _, text := range []string{knownSecret, sign.NewPair()} {
		k := key(t, text)
		_, encoded, _ := strings.Cut(text, "_")
		raw, _ := base64.StdEncoding.DecodeString(encoded)
		hidden(t, k, holder{k}, raw)
	}
}

func hidden(t *testing.T, k sign.Key, held any, raw []byte) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{k, &k, held} {
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
