package intake

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/hub"
)

func TestBatches(t *testing.T) {
	const bad = `{"type":"xss"}`
	one := good + "}"
	many := strings.Repeat(one+",", 1000)
	for _, c := range []struct {
		name     string
		read     func([]byte) ([]*hub.Finding, []Reject, error)
		body     string
		good     int
		rejected string
		kind     hub.Kind
	}{
		{"array", Array, "[" + one + "," + one + "]", 2, "[]", ""},
		{"empty array", Array, "[]", 0, "[]", ""},
		{"bad ones between", Array, "[" + one + "," + bad + ",7," + one + "]", 2, "[1 2]", ""},
		{"broken array", Array, "[" + one + ",{]", 0, "[]", hub.Malformed},
		{"array cut", Array, "[" + one, 0, "[]", hub.Malformed},
		{"after the array", Array, "[" + one + "] x", 0, "[]", hub.Malformed},
		{"no array", Array, one, 0, "[]", hub.Invalid},
		{"nothing", Array, "", 0, "[]", hub.Malformed},
		{"1,000", Array, "[" + many[:len(many)-1] + "]", 1000, "[]", ""},
		{"1,001", Array, "[" + many + one + "]", 0, "[]", hub.Invalid},
		{"lines", Lines, one + "\n" + one + "\r\n\n", 2, "[]", ""},
		{"a broken line between", Lines, one + "\n{\"type\":\n" + bad + "\n" + one, 2, "[1 2]", ""},
		{"1,001 lines", Lines, strings.Repeat(one+"\n", 1001), 0, "[]", hub.Invalid},
	} {
		findings, rejected, err := c.read([]byte(c.body))
		indexes := []int{}
		for _, r := range rejected {
			indexes = append(indexes, r.Index)
		}
		if got := fmt.Sprint(indexes); len(findings) != c.good || got != c.rejected || hub.KindOf(err) != c.kind {
			t.Errorf("%s: got %d findings, rejected %s, error %v; want %d, %s, %q", c.name, len(findings), got, err, c.good, c.rejected, c.kind)
		}
	}
}
