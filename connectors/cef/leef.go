package cef

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

func parseLEEF(s string) (Event, error) {
	e := Event{Format: "LEEF"}
	header := [...]*string{&e.Version, &e.Vendor, &e.Product, &e.Release, &e.Class}
	for i, field := range header {
		value, rest, found := cutHeader(s)
		if !found && i < len(header)-1 {
			return Event{}, errors.New("the LEEF header has fewer than 5 fields")
		}
		*field, s = strings.TrimSpace(value), rest
	}
	if e.Class == "" {
		return Event{}, errors.New("the LEEF header has no event id")
	}
	delimiter := "\t"
	if strings.HasPrefix(e.Version, "2") {
		delimiter, s = cutDelimiter(s)
	}
	e.Fields = attributes(s, delimiter)
	e.Severity = e.Fields["sev"]
	return e, nil
}

// cutDelimiter reads the sixth field of LEEF 2.0: one character or its code
// (0x09, x09), or nothing for a tab. Some senders leave the field out.
func cutDelimiter(s string) (delimiter, rest string) {
	field, rest, found := strings.Cut(s, "|")
	if !found {
		return "\t", s
	}
	if field == "" {
		if strings.HasPrefix(rest, "|") { // the bar itself: "||attributes" with a bar between
			return "|", rest[1:]
		}
		return "\t", rest
	}
	if utf8.RuneCountInString(field) == 1 {
		return field, rest
	}
	digits, hex := strings.CutPrefix(strings.ToLower(field), "0x")
	if !hex {
		digits, hex = strings.CutPrefix(strings.ToLower(field), "x")
	}
	if code, err := strconv.ParseUint(digits, 16, 16); hex && err == nil && code > 0 && utf8.ValidRune(rune(code)) {
		return string(rune(code)), rest
	}
	return "\t", s
}

// attributes reads key=value pairs with a delimiter between. The standard knows
// no escapes; what follows the first equals sign is the value.
func attributes(s, delimiter string) map[string]string {
	fields := map[string]string{}
	if delimiter == "\t" && strings.IndexByte(s, '\t') < 0 && strings.Count(s, "=") > 1 {
		return extension(s) // a relay has turned the tabs into blanks
	}
	for len(s) > 0 {
		var pair string
		pair, s, _ = strings.Cut(s, delimiter)
		key, value, found := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		if _, there := fields[key]; !found || key == "" || there || len(fields) >= maxFields {
			continue
		}
		fields[key] = strings.TrimRight(value, " \r\n")
	}
	return fields
}
