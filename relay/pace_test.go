package relay

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Sends that begin late now and then, as on a busy machine, keep the rate all the
// same, and no second holds more than the limit.
func TestPaceMakesUpForLateness(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, rate := range []int{7, 100, 999, 3000} {
		var p pacer
		begin := time.Unix(1e9, 0)
		var at []time.Time
		for now := begin; now.Before(begin.Add(time.Minute)); {
			at = append(at, now)
			now = p.send(now, rate)
			if r.IntN(rate) == 0 { // about once a second
				now = now.Add(time.Duration(r.IntN(100)) * time.Millisecond)
			}
		}
		if want := 60 * rate; float64(len(at)) < 0.98*float64(want) || len(at) > want+1 {
			t.Errorf("%d/s: %d sends in a minute, want %d", rate, len(at), want)
		}
		for i := rate; i < len(at); i++ {
			if d := at[i].Sub(at[i-rate]); d < time.Second {
				t.Fatalf("%d/s: %d sends in %v", rate, rate+1, d)
			}
		}
	}
}

// Who was idle does not save up.
func TestPaceAfterAPause(t *testing.T) {
	var p pacer
	now := time.Unix(1e9, 0)
	for range 10 {
		now = p.send(now, 10)
	}
	now = now.Add(time.Hour)
	if d := p.send(now, 10).Sub(now); d < 100*time.Millisecond {
		t.Errorf("after an hour of nothing the second send may begin after %v, want a tenth of a second", d)
	}
}
