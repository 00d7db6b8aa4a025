package hub

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends the event as json.Marshal gives it. alert is its alert,
// encoded already: it is stored as well, and encoding it is most of the work of
// a finding's way through the hub.
func (e *Event) AppendJSON(b, alert []byte) ([]byte, error) {
	b = appendText(b, `{"specversion":`, e.SpecVersion)
	b = appendText(b, `,"id":`, string(e.ID))
	b = appendText(b, `,"source":`, e.Source)
	b = appendText(b, `,"type":`, string(e.Type))
	b = appendText(b, `,"subject":`, e.Subject)
	b = appendTime(b, `,"time":"`, e.Time)
	b = appendTime(b, `,"timestamp":"`, e.Timestamp)
	b = appendText(b, `,"tenant":`, string(e.Tenant))
	b = strconv.AppendInt(append(b, `,"sequence":`...), e.Sequence, 10)
	b = append(b, `,"data":`...)
	rest := e.Data
	if alert == nil || rest.Endpoint != nil || rest.Object != nil {
		return appendValue(b, rest, "}")
	}
	rest.Alert = nil
	b = append(append(b, `{"alert":`...), alert...)
	start := len(b)
	b, err := appendValue(b, rest, "}")
	if err != nil {
		return nil, err
	}
	if b[start+1] == '}' { // nothing but the alert
		return append(b[:start], "}}"...), nil
	}
	b[start] = ',' // in place of the brace that opens the rest
	return b, nil
}

func appendText(b []byte, name, value string) []byte {
	b, _ = jsontext.AppendQuote(append(b, name...), value) // invalid UTF-8 is replaced
	return b
}

func appendTime(b []byte, name string, t time.Time) []byte {
	return append(t.AppendFormat(append(b, name...), time.RFC3339Nano), '"')
}

func appendValue(b []byte, v any, end string) ([]byte, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(append(b, value...), end...), nil
}
