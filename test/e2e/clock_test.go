package e2e

import (
	"net/http"
	"testing"
	"time"
)

// A jump of the clock is one: the hub's answers are dated by its machine.
func TestJumperMakesTheClockJump(t *testing.T) {
	h := running(t)
	date := func() time.Time {
		r, err := h.Call(t.Context(), http.MethodGet, "/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		at, err := http.ParseTime(r.Header.Get("Date"))
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	newJumper(t, h).close(t) // a second one takes over
	j := newJumper(t, h)
	defer j.close(t)
	for _, ahead := range []time.Duration{0, 2 * time.Hour, -2 * time.Hour, 0} {
		j.to(t, ahead)
		eventually(t, "the answers are dated "+ahead.String()+" ahead", timeLong, func() bool {
			return (time.Until(date()) - ahead).Abs() < 5*time.Second
		})
	}
}
