package connectortest

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// Many runs the kit's first check for a great number of items: one rough day
// with 10 restarts at random moments.
func Many(t *testing.T, c Case) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, c, 4, nil)
		r := rand.New(rand.NewPCG(4, 2))
		b.far.Add(c.Items * 9 / 10)
		b.store.Fail(r, 0.03)
		b.start()
		for round := range 10 {
			time.Sleep(time.Duration(r.Int64N(int64(2 * time.Minute))))
			b.far.Token(round != 6)
			b.far.Add(c.Items / 100)
			for range c.Items / 100 {
				b.far.Change(r)
				time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond) // while somebody pages
			}
			b.restart()
		}
		b.far.Token(true)
		b.far.Kind(true)
		b.store.Fail(nil, 0)
		b.settle(24 * time.Hour)
		if twice := b.store.twice(c.Seen); twice != "" {
			t.Error(twice)
		}
		b.checkViolations()
		b.halt()
	})
}
