package postgres

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Every text can be stored, comes back as it was and is told from every other;
// those that are UTF-8 keep their order.
func TestTexts(t *testing.T) {
	part := rapid.OneOf(
		rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune{0, 1, 2, 3, 'a', 0x7f, 0x80, 0xff, 0xfffd})),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	text := rapid.Custom(func(t *rapid.T) string { return part.Draw(t, "a") + part.Draw(t, "b") })
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "text"), text.Draw(t, "other")
		storedA, storedB := appendText(nil, a), appendText(nil, b)
		if strings.IndexByte(string(storedA), 0) >= 0 || !utf8.Valid(storedA) {
			t.Errorf("%q would be stored as %q, which PostgreSQL refuses", a, storedA)
		}
		if got := readText(storedA); got != a {
			t.Errorf("%q came back as %q", a, got)
		}
		if (a == b) != (string(storedA) == string(storedB)) {
			t.Errorf("%q and %q are stored as %q and %q", a, b, storedA, storedB)
		}
		if utf8.ValidString(a) && utf8.ValidString(b) && strings.Compare(a, b) != strings.Compare(string(storedA), string(storedB)) {
			t.Errorf("%q and %q change their order", a, b)
		}
	})
	if got := appendText([]byte("x"), "é"); string(got) != "xé" {
		t.Errorf("a plain text is stored as %q", got)
	}
}
