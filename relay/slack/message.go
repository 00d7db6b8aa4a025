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
	// side are blocks beside a bar of a colour, below the others.
	side     []api.Block
	color    string
	metadata map[string]any // nil: none
}

func (m *message) attachments() []api.Attachment {
	if len(m.side) == 0 {
		return nil
	}
	return []api.Attachment{{Color: m.color, Fallback: m.text, Blocks: api.Blocks{BlockSet: m.side}}}
}

func (m *message) options() []api.MsgOption {
	options := []api.MsgOption{
		api.MsgOptionText(m.text, false), api.MsgOptionBlocks(m.blocks...), api.MsgOptionDisableLinkUnfurl(), api.MsgOptionDisableMediaUnfurl(),
	}
	if len(m.side) > 0 {
		options = append(options, api.MsgOptionAttachments(m.attachments()...))
	}
	if m.metadata != nil {
		options = append(options, api.MsgOptionMetadata(api.SlackMetadata{EventType: markType, EventPayload: m.metadata}))
	}
	return options
}

// size is of the encoded blocks.
func (m *message) size() int {
	blocks, err := stdjson.Marshal(m.blocks)
	side, err2 := stdjson.Marshal(m.side)
	if err != nil || err2 != nil {
		return maxTotal + 1
	}
	return utf8.RuneCount(blocks) + utf8.RuneCount(side)
}

// A content is what is to be said about an event.
type content struct {
	ev       *hub.Event
	given    string // by a playbook, in place of the card
	text     string // of a template, in place of the description
	note     string // of a rule that asked for it
	delivery string
	link     string
	buttons  bool
	question *question // asked in place of the card
}

// fitting makes a message with texts as long as fit into the whole.
func fitting(make func(room int) *message) *message {
	var m *message
	for _, room := range []int{maxSection, 1000, 300, 60} {
		if m = make(room); m.size() <= maxTotal {
			break // always: 60 characters a text fit
		}
	}
	return m
}

// message tells of an event by itself.
func (c *content) message() *message {
	return fitting(func(room int) *message {
		b := card{room: room}
		text := title(c.ev)
		if m := escape(c.given, room); strings.TrimSpace(m) != "" {
			text = m
			b.section(m)
		} else {
			b.header(text)
			if a := c.ev.Data.Alert; a != nil {
				b.alert(a, c.ev.Data.Changes, c.text)
			} else {
				b.other(c.ev)
			}
		}
		b.context(c)
		return &message{text: text, blocks: b.blocks}
	})
}

// card shows an alert as it is.
func (c *content) card() *message {
	a := c.ev.Data.Alert
	return fitting(func(room int) *message {
		b := card{room: room}
		text := cardTitle(a)
		b.header(text)
		b.alert(a, nil, c.text)
		b.actions(c)
		b.context(c)
		return &message{text: text, blocks: b.blocks[:1], side: b.blocks[1:], color: colorOf(a)}
	})
}

// reply tells what happened to an alert that is known from the thread it stands
// in, or named if it is one of many.
func (c *content) reply(named bool) *message {
	return fitting(func(room int) *message {
		b := card{room: room}
		what := strings.TrimPrefix(string(c.ev.Type), "alert.")
		head := "*" + strings.ToUpper(what[:1]) + what[1:] + "*"
		if named {
			head += " · " + c.linked(line(nameOf(c.ev.Data.Alert), 200))
		}
		text := what
		if actor := c.ev.Data.Actor; actor != "" {
			head += " by " + line(actor, 100)
		}
		if reason := c.ev.Data.Reason; reason != "" && reason != what {
			head += " · " + line(reason, 200)
		}
		lines := []string{head}
		if changed := b.changed(c.ev.Data.Changes); changed != "" {
			lines = append(lines, changed)
			text += ": " + line(changed, 200)
		}
		joined := strings.Join(lines, "\n")
		if width(joined) > maxSection {
			joined = head
		}
		b.section(joined)
		return &message{text: text, blocks: b.blocks}
	})
}

// forWebhook gives the card of what is new and a short message for what changed:
// a webhook's message cannot be changed.
func (c *content) forWebhook() *message {
	switch {
	case c.question != nil:
		return c.question.message()
	case c.ev.Data.Alert == nil, c.given != "":
		return c.message()
	case c.ev.Type == hub.AlertCreated, c.ev.Type == hub.AlertReopened:
		c.buttons = false
		return c.card()
	}
	m := c.reply(true)
	m.side, m.color, m.blocks = m.blocks, colorOf(c.ev.Data.Alert), nil
	m.text = title(c.ev)
	return m
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

func (c *card) header(title string) {
	c.blocks = append(c.blocks, api.NewHeaderBlock(plain(title)))
}

// colors of severities, and of what is over.
var (
	colors   = map[hub.Severity]string{hub.Critical: "#a30200", hub.High: "#e8590c", hub.Medium: "#f2c744", hub.Low: "#2f7dc4", hub.Info: "#8c8c8c"}
	resolved = "#2eb67d"
)

func colorOf(a *hub.Alert) string {
	switch a.Status {
	case hub.AlertResolved:
		return resolved
	case hub.AlertDismissed:
		return colors[hub.Info]
	}
	if c := colors[a.Severity]; c != "" {
		return c
	}
	return colors[hub.Info]
}

func nameOf(a *hub.Alert) string {
	if a.Title != "" {
		return a.Title
	}
	return a.Type + " on " + a.AssetID
}

// stateWord says where an alert is in its life.
func stateWord(a *hub.Alert) string {
	switch {
	case a.Status == hub.AlertInvestigating:
		return "acknowledged"
	case a.Status != hub.AlertOpen:
		return string(a.Status)
	case a.Generation > 1:
		return "reopened"
	}
	return ""
}

// cardTitle is [CRITICAL] title · state.
func cardTitle(a *hub.Alert) string {
	head, tail := "["+strings.ToUpper(string(a.Severity))+"] ", ""
	if w := stateWord(a); w != "" {
		tail = " · " + w
	}
	return head + line(nameOf(a), maxHeader-width(head)-width(tail)) + tail
}

// title is [CRITICAL] title · what happened.
func title(ev *hub.Event) string {
	a := ev.Data.Alert
	if a == nil {
		return line(string(ev.Type)+" "+ev.Subject, maxHeader)
	}
	head := "[" + strings.ToUpper(string(a.Severity)) + "] "
	tail := ""
	if what, ok := strings.CutPrefix(string(ev.Type), "alert."); ok && what != "created" {
		tail = " · " + what
	}
	return head + line(nameOf(a), maxHeader-width(head)-width(tail)) + tail
}

func (c *card) alert(a *hub.Alert, changes hub.Changes, text string) {
	c.section(c.changed(changes))
	if text != "" {
		c.section(escape(text, c.room))
	} else {
		c.quote(a.Description)
	}
	var f fields
	f.add("Severity", string(a.Severity))
	f.add("Status", statusOf(a))
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

func statusOf(a *hub.Alert) string {
	if a.Status == hub.AlertInvestigating && a.AcknowledgedBy != "" {
		return "acknowledged by " + a.AcknowledgedBy
	}
	return string(a.Status)
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
func (c *card) context(s *content) {
	ev, delivery := s.ev, s.delivery
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
	if s.note != "" {
		parts = append(parts, line(s.note, 300))
	}
	text := strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
	if linkable(s.link, min(maxLink, c.room)) {
		text += " · <" + s.link + "|Open>"
	}
	b := api.NewContextBlock("", mrkdwn(text))
	if len(delivery) <= maxID {
		b.BlockID = delivery
	}
	c.blocks = append(c.blocks, b)
}
