package ident

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNewIsUniqueAndIncreasing(t *testing.T) {
	const n, goroutines = 2000, 8
	all := make([][]string, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for range n {
				all[g] = append(all[g], New("fnd_"))
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, ids := range all {
		for i, id := range ids {
			if seen[id] {
				t.Fatalf("%s was made twice", id)
			}
			seen[id] = true
			if i > 0 && ids[i-1] >= id {
				t.Fatalf("%s came after %s", id, ids[i-1])
			}
			if !strings.HasPrefix(id, "fnd_") || strings.Contains(id, ".") {
				t.Fatalf("%s: want the prefix fnd_ and no dot", id)
			}
		}
	}
}

func TestTime(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	got, ok := Time(New("alt_"))
	if !ok || got.Before(before) || got.After(time.Now()) {
		t.Errorf("got %v, %v; want a time from %v on", got, ok, before)
	}
	for _, id := range []string{"", "alt_", "01J", "alt_nonsense"} {
		if _, ok := Time(id); ok {
			t.Errorf("%q has a time", id)
		}
	}
}

func TestFloor(t *testing.T) {
	before := New("dlv_")
	now := time.Now()
	if floor := Floor("dlv_", now.Add(time.Hour)); floor <= New("dlv_") {
		t.Errorf("%s does not sort behind what is made before its time", floor)
	}
	if floor := Floor("dlv_", now.Add(-time.Hour)); floor >= before {
		t.Errorf("%s does not sort before %s, made after its time", floor, before)
	}
	if floor, id := Floor("dlv_", time.Time{}), New("dlv_"); floor >= id {
		t.Errorf("the zero time gives %s, which is not before %s", floor, id)
	}
}
