package slack

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
)

// What buttons ask for. The hub carries them out, or refuses what it does not
// know.
const (
	Acknowledge = "acknowledge"
	Resolve     = "resolve"
	Approve     = "approve" // what the subject waits for
	Deny        = "deny"
)

// actionPrefix starts the ids of buttons that are for the hub.
const actionPrefix = "tocsin."

// An Action is what a button asks for: a deed, and the life of the alert that it
// was shown for.
type Action struct {
	Name       string
	Subject    string
	Generation int64
}

// id is tocsin.<name>:<subject>:<generation>.
func (a Action) id() string {
	return actionPrefix + a.Name + ":" + a.Subject + ":" + strconv.FormatInt(a.Generation, 10)
}

// ParseAction reads the id of a button; false for one that is not for the hub.
func ParseAction(id string) (Action, bool) {
	rest, ours := strings.CutPrefix(id, actionPrefix)
	name, rest, ok := strings.Cut(rest, ":")
	at := strings.LastIndexByte(rest, ':')
	if !ours || !ok || at < 0 {
		return Action{}, false
	}
	generation, err := strconv.ParseInt(rest[at+1:], 10, 64)
	return Action{Name: name, Subject: rest[:at], Generation: generation}, err == nil
}

// actions adds the buttons that make sense for an alert as it is, and its links.
func (c *card) actions(s *content) {
	a := s.ev.Data.Alert
	var all []api.BlockElement
	button := func(name, label string, style api.Style) {
		id := Action{name, string(a.ID), a.Generation}.id()
		if s.buttons && len(id) <= maxID {
			b := api.NewButtonBlockElement(id, strings.TrimPrefix(id, actionPrefix), plain(label))
			b.Style = style
			all = append(all, b)
		}
	}
	if a.Status == hub.AlertOpen {
		button(Acknowledge, "Acknowledge", api.StylePrimary)
	}
	if a.Status == hub.AlertOpen || a.Status == hub.AlertInvestigating {
		button(Resolve, "Resolve", api.StyleDefault)
	}
	for _, l := range []struct{ label, link string }{{"Open", s.link}, {"Runbook", runbook(a)}} {
		if isWeb(l.link) {
			b := api.NewButtonBlockElement("link."+strings.ToLower(l.label), "", plain(l.label))
			b.URL = l.link
			all = append(all, b)
		}
	}
	if len(all) > 0 {
		c.blocks = append(c.blocks, api.NewActionBlock("", all...))
	}
}

// maxURL is of a button's link, short enough for the whole to fit.
const maxURL = 2000

// isWeb reports whether text is the address of a web page.
func isWeb(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && len(text) <= maxURL && text == harmlessURL(text)
}

// harmlessURL drops what has no place in an address.
func harmlessURL(text string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("<>|\"`", r) {
			return -1
		}
		return r
	}, text)
}

// linkable reports whether an address can stand in a text as a link.
func linkable(link string, limit int) bool {
	return isWeb(link) && len(link) <= limit && !strings.Contains(link, "&")
}

// linked makes text, which is escaped, a link to where people see the object.
func (c *content) linked(text string) string {
	if !linkable(c.link, 1000) {
		return text
	}
	return "<" + c.link + "|" + text + ">"
}

// runbook finds the address of instructions in the labels, or in the annotations
// that a source sent along.
func runbook(a *hub.Alert) string {
	for _, name := range [...]string{"runbook_url", "runbook"} {
		if isWeb(a.Labels[name]) {
			return a.Labels[name]
		}
	}
	var p struct {
		Annotations map[string]any `json:"annotations"`
		Runbook     any            `json:"runbook_url"`
	}
	if len(a.Payload) == 0 || json.Unmarshal(a.Payload, &p) != nil {
		return ""
	}
	for _, v := range []any{p.Annotations["runbook_url"], p.Annotations["runbook"], p.Runbook} {
		if text, ok := v.(string); ok && isWeb(text) {
			return text
		}
	}
	return ""
}
