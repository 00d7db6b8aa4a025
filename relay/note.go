package relay

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// NoteOf says which alert rule asked for a delivery and what the rule held back
// before it, in a sentence for people; "" if none did.
func NoteOf(d *hub.Delivery) string {
	if len(d.Params) == 0 {
		return ""
	}
	var p struct {
		Rule *hub.RuleNote `json:"rule"`
	}
	if json.Unmarshal(d.Params, &p) != nil || p.Rule == nil {
		return ""
	}
	text := fmt.Sprintf("rule %q", p.Rule.Name)
	switch n := p.Rule.HeldBack; {
	case n == 1:
		text += ": 1 more alert"
	case n > 1:
		text += fmt.Sprintf(": %d more alerts", n)
	default:
		return text
	}
	return text + " since " + p.Rule.Since.UTC().Format("2006-01-02 15:04 UTC") + " held back by its " + p.Rule.Why
}
