package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// canonicalDetails gives details in the form that goes into an entry. Those made
// by [hub.Details] are canonical already, which one walk over them shows; what
// is not is put in order, never refused: a change of state must not fail for
// what an outside system wrote.
func canonicalDetails(raw []byte) []byte {
	if len(raw) == 0 {
		return []byte("{}")
	}
	if raw[0] == '{' && scanValue(raw, 0, maxDepth) == len(raw) {
		return raw
	}
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	value, err := appendCanonical(nil, dec, maxDepth-1) // one level for what may be put around
	if err == nil {
		if _, end := dec.ReadToken(); end != io.EOF {
			err = errors.New("more than one value")
		}
	}
	switch {
	case err != nil:
		return append(appendString([]byte(`{"text":`), string(raw)), '}')
	case value[0] != '{':
		return append(append([]byte(`{"value":`), value...), '}')
	}
	return value
}

var errDeep = errors.New("nested too deeply")

// appendCanonical reads one value and appends it in canonical form. Numbers that
// are not integers within ±(2^53−1) become strings of the same text; of members
// with the same name the last counts.
func appendCanonical(dst []byte, dec *jsontext.Decoder, depth int) ([]byte, error) {
	tok, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch tok.Kind() {
	case '{':
		return appendCanonicalObject(dst, dec, depth-1)
	case '[':
		return appendCanonicalArray(dst, dec, depth-1)
	case '"':
		return appendString(dst, tok.String()), nil
	case '0':
		return appendNumber(dst, tok.String()), nil
	}
	return append(dst, tok.String()...), nil
}

func appendNumber(dst []byte, text string) []byte {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n != clamp(n) {
		return appendString(dst, text)
	}
	return strconv.AppendInt(dst, n, 10)
}

func appendCanonicalArray(dst []byte, dec *jsontext.Decoder, depth int) ([]byte, error) {
	if depth < 0 {
		return nil, errDeep
	}
	dst = append(dst, '[')
	for first := true; dec.PeekKind() != ']'; first = false {
		if !first {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendCanonical(dst, dec, depth); err != nil {
			return nil, err
		}
	}
	_, err := dec.ReadToken()
	return append(dst, ']'), err
}

func appendCanonicalObject(dst []byte, dec *jsontext.Decoder, depth int) ([]byte, error) {
	if depth < 0 {
		return nil, errDeep
	}
	type member struct {
		name  string
		value []byte
	}
	var members []member
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: strings.ToValidUTF8(name.String(), "\uFFFD")}
		if m.value, err = appendCanonical(nil, dec, depth); err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	slices.SortStableFunc(members, func(a, b member) int { return compareNames(a.name, b.name) })
	dst = append(dst, '{')
	comma := ""
	for i, m := range members {
		if i+1 < len(members) && members[i+1].name == m.name {
			continue
		}
		dst = append(append(appendString(append(dst, comma...), m.name), ':'), m.value...)
		comma = ","
	}
	_, err := dec.ReadToken()
	return append(dst, '}'), err
}

// omittedDetails stands for details that are too long.
func omittedDetails(details []byte) []byte {
	sum := sha256.Sum256(details)
	b := strconv.AppendInt([]byte(`{"omitted_bytes":`), int64(len(details)), 10)
	b = hex.AppendEncode(append(b, `,"omitted_sha256":"`...), sum[:])
	return append(b, `"}`...)
}

// shortened gives an entry whose strings are short enough to fit together.
func shortened(a hub.AuditEntry) hub.AuditEntry {
	a.ActorType, a.Outcome = hub.ActorType(short(string(a.ActorType))), hub.AuditOutcome(short(string(a.Outcome)))
	for _, s := range []*string{
		&a.Action, &a.ID, &a.IPAddress, &a.RequestMethod, &a.RequestPath,
		&a.ResourceID, &a.ResourceType, &a.UserAgent, &a.UserEmail, &a.UserID,
	} {
		*s = short(*s)
	}
	return a
}

// short gives s, or its beginning with the hash of all of it. Twelve such
// strings fit in an entry even if every byte must be escaped.
func short(s string) string {
	const keep = 400
	if len(s) <= keep {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	n := keep
	for n > keep-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…sha256:" + hex.EncodeToString(sum[:])
}
