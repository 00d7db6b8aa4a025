package kafka

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestShare(t *testing.T) {
	for _, c := range []struct {
		name       string
		partitions int
		claims     []claim
		want       string
	}{
		{"alone", 3, []claim{{member: "a"}}, "map[a:[0 1 2]]"},
		{"two at once", 4, []claim{{member: "a"}, {member: "b"}}, "map[a:[0 2] b:[1 3]]"},
		{"one comes: what moves is nobody's at first", 4, []claim{{"a", 1, []int{0, 1, 2, 3}}, {member: "b"}}, "map[a:[0 1] b:[]]"},
		{"what was given up is free", 4, []claim{{"a", 2, []int{0, 1}}, {"b", 2, nil}}, "map[a:[0 1] b:[2 3]]"},
		{"one goes", 4, []claim{{"b", 3, []int{2, 3}}}, "map[b:[2 3 0 1]]"},
		{"nothing moves without need", 3, []claim{{"a", 1, []int{0}}, {"b", 1, []int{1, 2}}}, "map[a:[0] b:[1 2]]"},
		{"more members than partitions", 1, []claim{{"a", 1, []int{0}}, {member: "b"}}, "map[a:[0] b:[]]"},
		{"who got it later is right", 2, []claim{{"a", 1, []int{0, 1}}, {"b", 4, []int{1}}}, "map[a:[0] b:[1]]"},
		{"two with the same claim have none", 2, []claim{{"a", 1, []int{0}}, {"b", 1, []int{0, 1}}}, "map[a:[0] b:[1]]"},
		{"a claim to what there is not", 1, []claim{{"a", 1, []int{7, -1}}}, "map[a:[0]]"},
	} {
		if got := fmt.Sprint(share(c.partitions, c.claims)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// Whoever comes and goes, no partition has two owners at any time, and after
// three rounds each has one and nobody has more than one more than another.
func TestShareSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 40).Draw(t, "partitions")
		has := map[string][]int{}
		generation := 0
		turn := func() {
			generation++
			var claims []claim
			for _, who := range slices.Sorted(maps.Keys(has)) {
				claims = append(claims, claim{who, generation, has[who]})
			}
			next := share(partitions, claims)
			for who := range has {
				for _, no := range next[who] {
					for other, theirs := range has {
						if other != who && slices.Contains(theirs, no) {
							t.Fatalf("partition %d goes from %s to %s before it was given up", no, other, who)
						}
					}
				}
			}
			has = next
		}
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			if who := fmt.Sprint("m", rapid.IntRange(0, 9).Draw(t, "who")); has[who] == nil {
				has[who] = []int{}
			} else if len(has) > 1 {
				delete(has, who)
			}
			for range rapid.IntRange(0, 2).Draw(t, "rounds") {
				turn()
			}
		}
		for range 3 {
			turn()
		}
		owners, least, most := 0, partitions, 0
		for _, theirs := range has {
			owners += len(theirs)
			least, most = min(least, len(theirs)), max(most, len(theirs))
		}
		if owners != partitions || most-least > 1 {
			t.Fatalf("%d partitions are shared out as %v", partitions, has)
		}
		before := has
		if turn(); !maps.EqualFunc(before, has, sameElements) {
			t.Fatalf("what was settled changed from %v to %v", before, has)
		}
	})
}

func sameElements(x, y []int) bool {
	return slices.Equal(slices.Sorted(slices.Values(x)), slices.Sorted(slices.Values(y)))
}
