package template

import (
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// tickName is the function that bounds loops; no template has a name for it.
const tickName = "step__"

// functions are those of ours, and in place of those of the library that could do
// more than make a text.
func functions() template.FuncMap {
	none := func(...any) (string, error) { return "", errors.New("is not available in templates") }
	return template.FuncMap{
		tickName:   tick,
		"upper":    func(v any) string { return strings.ToUpper(text(v)) },
		"lower":    func(v any) string { return strings.ToLower(text(v)) },
		"trim":     func(v any) string { return strings.TrimSpace(text(v)) },
		"truncate": truncate,
		"replace":  func(old, with string, v any) string { return shortened(replace(text(v), old, with)) },
		"join":     join,
		"default":  otherwise,
		"contains": func(part string, v any) bool { return strings.Contains(text(v), part) },
		"date":     date,
		"json":     asJSON,
		"print":    func(v ...any) string { return shortened(fmt.Sprint(v...)) },
		"println":  func(v ...any) string { return shortened(fmt.Sprintln(v...)) },
		"printf":   printf,
		"html":     func(v any) string { return shortened(html.EscapeString(text(v))) },
		"urlquery": func(v any) string { return shortened(url.QueryEscape(text(v))) },
		"js":       none,
		"call":     none,
	}
}

// text gives a value as it would be shown.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return shortened(v)
	}
	return shortened(fmt.Sprint(v))
}

func shortened(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "")
}

// replace does not make more than a text may be.
func replace(s, old, with string) string {
	if n := strings.Count(s, old); len(s)+n*(len(with)-len(old)) > 2*maxText {
		return s
	}
	return strings.ReplaceAll(s, old, with)
}

// truncate shortens a text to so many characters.
func truncate(n int, v any) string {
	s := text(v)
	if n < 1 || utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// join puts a list into one text.
func join(separator string, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case []string:
		return shortened(strings.Join(v, shortened(separator))), nil
	case []any:
		parts := make([]string, min(len(v), 1000))
		for i := range parts {
			parts[i] = truncate(1000, v[i])
		}
		return shortened(strings.Join(parts, truncate(100, separator))), nil
	}
	return "", errors.New("join needs a list")
}

// otherwise gives v, or instead of nothing something else.
func otherwise(instead, v any) any {
	if v == nil || text(v) == "" || v == 0 || v == 0.0 {
		return instead
	}
	return v
}

// date shows a time in a layout of Go's and a time zone, UTC if none is given.
func date(layout string, v any, zone ...string) (string, error) {
	s := text(v)
	if s == "" {
		return "", nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return "", errors.New("date needs a time")
	}
	in := time.UTC
	if len(zone) > 0 {
		if in, err = time.LoadLocation(zone[0]); err != nil {
			return "", fmt.Errorf("there is no time zone %q", zone[0])
		}
	}
	return shortened(at.In(in).Format(layout)), nil
}

func asJSON(v any) (string, error) {
	b, err := json.Marshal(v, json.Deterministic(true))
	return shortened(string(b)), err
}

// wide finds widths that would make a text of any size.
var wide = regexp.MustCompile(`%[^a-zA-Z%]*(\*|[0-9]{4})`)

func printf(format string, v ...any) (string, error) {
	if wide.MatchString(format) {
		return "", errors.New("printf is too wide")
	}
	return shortened(fmt.Sprintf(format, v...)), nil
}
