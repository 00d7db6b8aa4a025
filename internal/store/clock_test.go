package store

import (
	"testing"
	"testing/synctest"
	"time"
)

// The clock follows the database's, goes on between two looks, and is not moved
// by what a look that took long cannot tell.
func TestClockFollowsTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		look := func(ahead, took time.Duration) {
			before := time.Now()
			time.Sleep(took)
			c.adjust(time.Now().Add(ahead).Add(-took/2).Round(0), before, time.Now())
		}
		check := func(what string, ahead time.Duration) {
			t.Helper()
			if got := c.now().Sub(time.Now().Round(0)); got != ahead {
				t.Errorf("%s: ahead by %v, want %v", what, got, ahead)
			}
		}
		check("never asked", 0)
		look(time.Hour, 10*time.Millisecond)
		check("asked once", time.Hour)
		time.Sleep(time.Minute)
		check("a minute later", time.Hour)
		look(time.Hour+40*time.Millisecond, 10*time.Millisecond)
		check("within what a look can tell", time.Hour)
		look(time.Hour+time.Second, 10*time.Millisecond)
		check("the database's clock was set", time.Hour+time.Second)
		look(2*time.Hour, time.Second)
		check("an answer that took too long", time.Hour+time.Second)
		look(-time.Hour, 10*time.Millisecond)
		check("set back", -time.Hour)
	})
}
