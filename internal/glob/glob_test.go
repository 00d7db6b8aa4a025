package glob

import (
	"strings"
	"testing"

	"github.com/tocsin/tocsin/hub"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		t       hub.EventType
		want    bool
	}{
		{"alert.created", "alert.created", true},
		{"alert.created", "alert.create", false},
		{"alert.create", "alert.created", false},
		{"alert.*", "alert.created", true},
		{"alert.*", "alert.a.b", false},
		{"alert.*", "alert", false},
		{"alert.*", "alerts.created", false},
		{"*.resolved", "incident.resolved", true},
		{"*.resolved", "alert.created", false},
		{"*", "alert.created", true},
		{"**", "a.b.c", true},
		{"alert.*ed", "alert.resolved", true},
		{"*.*", "alert.created", true},
		{"*.*", "alert", false},
		{"", "alert.created", false},
		{"", "", true},
	} {
		if got := Match(c.pattern, c.t); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.t, got)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, p := range []string{"*", "**", "alert.*", "*.resolved", "alert.created", "compliance.*"} {
		if err := Validate(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	for p, want := range map[string]string{
		"":                           "no event type",
		"alert.reopend":              "such as alert.reopened",
		"alert":                      "no event type",
		"*a*b*c*d*e":                 "four stars",
		strings.Repeat("alert.", 30): "too long",
	} {
		if err := Validate(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", p, err, want)
		}
	}
}
