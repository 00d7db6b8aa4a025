package inbound

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// Limits of what connectors make of foreign texts; those of names are the ones
// that findings over the API are held to.
const (
	maxName  = 1024
	maxTitle = 1024
	maxText  = 16 << 10
	maxPairs = 200
	maxDepth = 100
)

var errDeep = fmt.Errorf("it is nested deeper than %d levels", maxDepth)

// Decode reads an item into a struct, whatever the case of its names if fold is
// said. The error is a sentence for the sender.
func Decode(raw jsontext.Value, into any, fold bool) error {
	if deep(raw) {
		return errDeep
	}
	if raw.Kind() != '{' {
		return errors.New("it is no JSON object")
	}
	err := json.Unmarshal(raw, into, json.MatchCaseInsensitiveNames(fold))
	var semantic *json.SemanticError
	if errors.As(err, &semantic) && semantic.JSONPointer != "" {
		return fmt.Errorf("%s is of another type than the format has it", semantic.JSONPointer)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return fmt.Errorf("it is no valid JSON: %s", strings.TrimPrefix(syntactic.Err.Error(), "jsontext: "))
	}
	return err
}

// deep reports nesting that would exhaust whoever reads the item later.
func deep(raw []byte) bool {
	depth, inText := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// Key makes a source id of parts, so that other parts never make the same: each
// is escaped, and what is too long to be read anyway is hashed.
func Key(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('|')
		}
		for _, r := range []byte(p) {
			if r == '|' || r == '%' {
				fmt.Fprintf(&b, "%%%02X", r)
				continue
			}
			b.WriteByte(r)
		}
	}
	return short(b.String())
}

// short keeps a name within what a finding may hold, and apart from others.
func short(s string) string {
	if len(s) <= maxName {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return clip(s, maxName-70) + "~" + hex.EncodeToString(sum[:])
}

// clip cuts s at a character's start.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := limit
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return clip(s, limit-len("…")) + "…"
}

// Tidy keeps a finding within the hub's limits, and says what its source did
// not: a missing status is open, a missing time is not given.
func Tidy(f *hub.Finding) {
	f.AssetID, f.SourceID, f.DedupKey = short(f.AssetID), short(f.SourceID), short(f.DedupKey)
	f.Title = cut(strings.Join(strings.Fields(f.Title), " "), maxTitle)
	f.Description = cut(strings.TrimSpace(f.Description), maxText)
	if f.Status == "" {
		f.Status = hub.FindingOpen
	}
	f.ObservedAt = bounded(f.ObservedAt)
	f.ObservedGiven = !f.ObservedAt.IsZero()
	f.Labels = pairs(f.Labels)
	if f.Asset != nil {
		f.Asset.Name, f.Asset.Tags = cut(f.Asset.Name, maxName), pairs(f.Asset.Tags)
	}
}

// pairs drops empty values and what is beyond the limits.
func pairs(m map[string]string) map[string]string {
	for k, v := range m {
		if v == "" || k == "" || len(k) > maxName {
			delete(m, k)
		} else if len(v) > maxName {
			m[k] = cut(v, maxName)
		}
	}
	if len(m) <= maxPairs {
		return m
	}
	kept := make(map[string]string, maxPairs)
	for _, k := range sortedKeys(m)[:maxPairs] {
		kept[k] = m[k]
	}
	return kept
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// Object encodes the members that are set, in the order of their names: a
// payload for what of an item is neither in the finding's fields nor changes
// from one report to the next.
func Object(members map[string]any) jsontext.Value {
	for k, v := range members {
		if empty(v) {
			delete(members, k)
		}
	}
	if len(members) == 0 {
		return nil
	}
	b, err := json.Marshal(members, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil
	}
	return b
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case Text:
		return v == ""
	case []string:
		return len(v) == 0
	case []Text:
		return len(v) == 0
	case map[string]string:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	case jsontext.Value:
		return len(v) == 0 || v.Kind() == 'n'
	}
	return false
}

// Check says why raw cannot be taken as an item at all: it is nested too deep,
// names a member twice or holds what is no UTF-8. The error is a sentence for
// the sender.
func Check(raw jsontext.Value) error {
	if deep(raw) {
		return errDeep
	}
	if !raw.IsValid() {
		return errors.New("it is no valid JSON: a name is there twice, or a text is no UTF-8")
	}
	return nil
}
