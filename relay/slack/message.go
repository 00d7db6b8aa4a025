package slack

import (
	stdjson "encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
)

// Slack's limits that a card could meet.
const (
	maxHeader  = 150
	maxSection = 3000
	maxField   = 2000
	maxFields  = 10
	maxContext = 2000
	maxLink    = 2900 // of the 3,000 for a URL in a text
	maxID      = 255
	// maxTotal is of the encoded blocks. 40,000 are documented, but refusals
	// were seen from 13,200.
	maxTotal = 12_000
)

// A message is what is posted. The text is shown in notifications.
type message struct {
	text   string
	blocks []api.Block
}

// compose makes the message for an event. given stands in place of the card.
// Where the whole gets too long, its texts get shorter.
func compose(ev *hub.Event, given, delivery, link string) *message {
	for _, room := range []int{maxSection, 1000, 300, 60} {
		m := composeWithin(ev, given, delivery, link, room)
		if encoded, err := stdjson.Marshal(m.blocks); err == nil && utf8.RuneCount(encoded) <= maxTotal {
			return m
		}
	}
	return &message{text: title(ev)} // not reached: 60 characters a text always fit
}

func composeWithin(ev *hub.Event, given, delivery, link string, room int) *message {
	c := card{room: room}
	text := title(ev)
	if m := escape(given, room); strings.TrimSpace(m) != "" {
		text = m
		c.section(m)
	} else {
		c.header(ev)
		if a := ev.Data.Alert; a != nil {
			c.alert(a, ev.Data.Changes)
		} else {
			c.other(ev)
		}
	}
	c.context(ev, delivery, link)
	return &message{text: text, blocks: c.blocks}
}

// A card collects blocks. room is the longest text.
type card struct {
	blocks []api.Block
	room   int
}

func mrkdwn(text string) *api.TextBlockObject {
	// Verbatim: Slack turns nothing in it into links or mentions.
	return api.NewTextBlockObject(api.MarkdownType, text, false, true)
}

func plain(text string) *api.TextBlockObject {
	return api.NewTextBlockObject(api.PlainTextType, text, false, false)
}

func (c *card) section(text string) {
	if strings.TrimSpace(text) != "" { // Slack refuses empty texts
		c.blocks = append(c.blocks, api.NewSectionBlock(mrkdwn(text), nil, nil))
	}
}

// quote adds text from outside, in which nothing is formatted.
func (c *card) quote(text string) {
	if text = escape(text, c.room); strings.TrimSpace(text) != "" {
		c.blocks = append(c.blocks, api.NewSectionBlock(plain(text), nil, nil))
	}
}

func (c *card) header(ev *hub.Event) {
	c.blocks = append(c.blocks, api.NewHeaderBlock(plain(title(ev))))
}

// title is [CRITICAL] title · what happened.
func title(ev *hub.Event) string {
	a := ev.Data.Alert
	if a == nil {
		return line(string(ev.Type)+" "+ev.Subject, maxHeader)
	}
	name := a.Title
	if name == "" {
		name = a.Type + " on " + a.AssetID
	}
	head := "[" + strings.ToUpper(string(a.Severity)) + "] "
	tail := ""
	if what, ok := strings.CutPrefix(string(ev.Type), "alert."); ok && what != "created" {
		tail = " · " + what
	}
	return head + line(name, maxHeader-width(head)-width(tail)) + tail
}

func (c *card) alert(a *hub.Alert, changes hub.Changes) {
	c.section(c.changed(changes))
	c.quote(a.Description)
	var f fields
	f.add("Severity", string(a.Severity))
	f.add("Status", string(a.Status))
	f.add("Asset", a.AssetID)
	f.add("Account", a.Account())
	f.add("Source", strings.Join(a.Sources, ", "))
	f.add("First seen", date(a.FirstSeen))
	f.add("Findings", strconv.FormatInt(a.Count, 10))
	if a.RiskScore != nil {
		f.add("Risk", strconv.FormatFloat(*a.RiskScore, 'f', -1, 64))
	}
	if v := a.Vulnerability; v != nil {
		f.add("Vulnerability", strings.TrimSpace(v.CVE+" "+v.Package))
	}
	f.add("Assignee", a.Assignee)
	c.fields(f)
}

// changed says what is different, a line for each field.
func (c *card) changed(changes hub.Changes) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		v := changes[name]
		lines = append(lines, fmt.Sprintf("%s: %v → %v", name, shown(v[0]), shown(v[1])))
	}
	return escape(strings.Join(lines, "\n"), c.room)
}

func shown(v any) any {
	if v == nil || v == "" {
		return "–"
	}
	return v
}

func (c *card) other(ev *hub.Event) {
	var f fields
	if e := ev.Data.Endpoint; e != nil {
		f.add("Endpoint", strings.TrimSpace(e.Name+" "+string(e.ID)))
		f.add("Kind", e.Kind)
		f.add("Reason", e.Reason)
	}
	c.quote(string(ev.Data.Object))
	c.fields(f)
}

// fields are pairs of name and value; those without a value are left out.
type fields [][2]string

func (f *fields) add(name, value string) {
	if value != "" && len(*f) < maxFields {
		*f = append(*f, [2]string{name, value})
	}
}

func (c *card) fields(f fields) {
	if len(f) == 0 {
		return
	}
	texts := make([]*api.TextBlockObject, 0, len(f))
	for _, p := range f {
		name := "*" + p[0] + "*\n"
		texts = append(texts, mrkdwn(name+line(p[1], min(c.room, maxField)-width(name))))
	}
	c.blocks = append(c.blocks, api.NewSectionBlock(nil, texts, nil))
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// context is the last line: what, why, who, where to see it.
func (c *card) context(ev *hub.Event, delivery, link string) {
	parts := []string{line(string(ev.Type), 100), line(ev.Subject, 100)}
	if ev.Data.Reason != "" {
		parts = append(parts, line(ev.Data.Reason, 200))
	}
	if ev.Data.Actor != "" {
		parts = append(parts, "by "+line(ev.Data.Actor, 100))
	}
	if a := ev.Data.Alert; a != nil && a.Labels["rule_id"] != "" {
		parts = append(parts, "rule "+line(a.Labels["rule_id"], 200))
	}
	text := strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
	if link != "" && len(link) <= min(maxLink, c.room) && !strings.ContainsAny(link, "<>|& \n") {
		text += " · <" + link + "|Open>"
	}
	b := api.NewContextBlock("", mrkdwn(text))
	if len(delivery) <= maxID {
		b.BlockID = delivery
	}
	c.blocks = append(c.blocks, b)
}
