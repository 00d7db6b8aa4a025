// Package glob matches event types against patterns such as alert.*.
//
// A star stands for any characters but a dot, so alert.* is every event of
// alerts and *.resolved is alerts' and incidents'. A pattern that is only * or
// ** matches every event type, also those with dots.
package glob

import (
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/hub"
)

// Match reports whether the event type t matches pattern.
func Match(pattern string, t hub.EventType) bool {
	if pattern == "*" || pattern == "**" {
		return true
	}
	return match(pattern, string(t))
}

func match(p, s string) bool {
	for len(p) > 0 {
		if p[0] != '*' {
			if s == "" || s[0] != p[0] {
				return false
			}
			p, s = p[1:], s[1:]
			continue
		}
		p = strings.TrimLeft(p, "*")
		for i := 0; ; i++ {
			if match(p, s[i:]) {
				return true
			}
			if i == len(s) || s[i] == '.' {
				return false
			}
		}
	}
	return s == ""
}

// Validate reports why pattern can never match an event type there is.
func Validate(pattern string) error {
	if len(pattern) > 100 || strings.Count(pattern, "*") > 4 {
		return fmt.Errorf("the event pattern is too long or has more than four stars")
	}
	for _, t := range hub.EventTypes {
		if Match(pattern, t) {
			return nil
		}
	}
	return fmt.Errorf("%q matches no event type; use one such as %s or alert.* or *", pattern, nearest(pattern))
}

// nearest gives the event type with the longest common beginning.
func nearest(pattern string) hub.EventType {
	best, length := hub.AlertCreated, 0
	for _, t := range hub.EventTypes {
		n := 0
		for n < len(pattern) && n < len(t) && pattern[n] == t[n] {
			n++
		}
		if n > length {
			best, length = t, n
		}
	}
	return best
}
