package bus

import (
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ownColumn reports whether a header is not stored among the others: it has its
// own column, or the bus sets it when it hands the message out.
func ownColumn(name string) bool {
	switch name {
	case MetaTenant, MetaKey, MetaPosition, MetaAttempt:
		return true
	}
	return false
}

// EncodeHeaders gives the headers that have no column as a JSON object with its
// names in order; "" if there are none, as for most messages.
func EncodeHeaders(m message.Metadata) string {
	var names []string
	for name := range m {
		if !ownColumn(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	text := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			text = append(text, ',')
		}
		// The error tells of invalid UTF-8, which is replaced.
		text, _ = jsontext.AppendQuote(text, name)
		text = append(text, ':')
		text, _ = jsontext.AppendQuote(text, m[name])
	}
	return string(append(text, '}'))
}

// DecodeHeaders adds the stored headers to m.
func DecodeHeaders(text string, m message.Metadata) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), (*map[string]string)(&m))
}
