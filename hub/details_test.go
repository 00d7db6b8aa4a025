package hub

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestDetailsAreCanonical(t *testing.T) {
	var d Details
	got := d.Int("count", -12).Str("empty", "").Strs("ids", []string{"a", "b\n\"\x01\u20ac"}).Str("name", "x</script>\u2028\x7f").Strs("none", nil).Value()
	want := jsontext.Value(append([]byte(nil), got...))
	if err := want.Canonicalize(); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	if string(got) != string(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if v := new(Details).Value(); v != nil {
		t.Errorf("no details gave %s", v)
	}
}
