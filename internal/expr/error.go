package expr

import (
	"fmt"
	"strings"
)

// A Problem is one fault of an expression. Line and Column count from 1 within
// the expression's own text.
type Problem struct {
	Line   int
	Column int
	Msg    string
}

// An Error is why an expression or a template could not be compiled.
type Error struct {
	Source   string
	Problems []Problem
}

// Error gives every fault with its place.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		if p.Line > 1 || p.Column > 1 {
			fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
		}
		b.WriteString(p.Msg)
	}
	return b.String()
}

// Nearest gives the one of names that s is probably a misspelling of, or "".
func Nearest(s string, names []string) string {
	best, dist := "", 1+len(s)/3
	for _, n := range names {
		if d := distance(s, n); d <= dist && (best == "" || d < dist) {
			best, dist = n, d
		}
	}
	return best
}

// distance is the edit distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
