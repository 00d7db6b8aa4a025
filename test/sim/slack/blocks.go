package slack

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// checkBlocks says what is wrong with blocks, in Slack's manner: a text with a
// JSON pointer for each fault.
func checkBlocks(blocks []map[string]any, at string) []string {
	c := &checker{}
	if len(blocks) > 50 {
		c.fault(at, "no more than 50 items allowed")
	}
	ids := map[string]bool{}
	for i, b := range blocks {
		here := fmt.Sprintf("%s/%d", at, i)
		c.block(b, here)
		if id, ok := b["block_id"].(string); ok && id != "" {
			if ids[id] {
				c.fault(here+"/block_id", "block_id already exists")
			}
			ids[id] = true
		}
	}
	return c.faults
}

// checkAttachment says what is wrong with an attachment.
func checkAttachment(a map[string]any, at string) []string {
	c := &checker{}
	for name := range a {
		if !slices.Contains([]string{"color", "blocks", "fallback", "text", "pretext", "title", "title_link", "fields", "mrkdwn_in", "footer", "ts"}, name) {
			c.fault(at+"/"+name, "unknown member")
		}
	}
	if color, ok := a["color"].(string); ok && !colorForm.MatchString(color) {
		c.fault(at+"/color", "must be good, warning, danger or a hex colour")
	}
	blocks, ok := a["blocks"].([]any)
	if !ok || len(blocks) == 0 {
		if a["text"] == nil && a["fallback"] == nil {
			c.fault(at, "an empty attachment")
		}
		return c.faults
	}
	return append(c.faults, checkBlocks(asObjects(blocks), at+"/blocks")...)
}

var colorForm = regexp.MustCompile(`^(good|warning|danger|#[0-9a-fA-F]{6})$`)

type checker struct{ faults []string }

func (c *checker) fault(at, format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf("[ERROR] "+format+" [json-pointer:"+at+"]", args...))
}

func (c *checker) block(b map[string]any, at string) {
	c.length(b, at, "block_id", 0, 255)
	switch kind, _ := b["type"].(string); kind {
	case "section":
		c.section(b, at)
	case "header":
		c.text(b["text"], at+"/text", 150, "plain_text")
	case "context":
		c.context(b, at)
	case "actions":
		c.elements(b, at, 25)
	case "image":
		c.length(b, at, "image_url", 1, 3000)
		c.length(b, at, "alt_text", 1, 2000)
	case "divider":
	case "markdown":
		c.length(b, at, "text", 1, 12_000)
	case "rich_text":
	default:
		c.fault(at+"/type", "unsupported type: %s", kind)
	}
}

func (c *checker) section(b map[string]any, at string) {
	fields, hasFields := b["fields"].([]any)
	if b["text"] == nil && !hasFields {
		c.fault(at, "must provide text or fields")
	}
	if b["text"] != nil {
		c.text(b["text"], at+"/text", 3000, "mrkdwn", "plain_text")
	}
	if hasFields && (len(fields) == 0 || len(fields) > 10) {
		c.fault(at+"/fields", "must have 1 to 10 items")
	}
	for i, f := range fields {
		c.text(f, fmt.Sprintf("%s/fields/%d", at, i), 2000, "mrkdwn", "plain_text")
	}
	if a, ok := b["accessory"].(map[string]any); ok {
		c.element(a, at+"/accessory")
	}
}

func (c *checker) context(b map[string]any, at string) {
	elements, _ := b["elements"].([]any)
	if len(elements) == 0 || len(elements) > 10 {
		c.fault(at+"/elements", "must have 1 to 10 items")
	}
	for i, e := range elements {
		if o, ok := e.(map[string]any); ok && o["type"] == "image" {
			continue
		}
		c.text(e, fmt.Sprintf("%s/elements/%d", at, i), 3000, "mrkdwn", "plain_text")
	}
}

func (c *checker) elements(b map[string]any, at string, most int) {
	elements, _ := b["elements"].([]any)
	if len(elements) == 0 || len(elements) > most {
		c.fault(at+"/elements", "must have 1 to %d items", most)
	}
	ids := map[string]bool{}
	for i, e := range asObjects(elements) {
		here := fmt.Sprintf("%s/elements/%d", at, i)
		c.element(e, here)
		if id, _ := e["action_id"].(string); id != "" {
			if ids[id] {
				c.fault(here+"/action_id", "action_id already exists")
			}
			ids[id] = true
		}
	}
}

func (c *checker) element(e map[string]any, at string) {
	c.length(e, at, "action_id", 0, 255)
	switch kind, _ := e["type"].(string); {
	case kind == "button":
		c.text(e["text"], at+"/text", 75, "plain_text")
		c.length(e, at, "value", 0, 2000)
		c.length(e, at, "url", 0, 3000)
		if link, ok := e["url"].(string); ok && !strings.HasPrefix(link, "https://") && !strings.HasPrefix(link, "http://") {
			c.fault(at+"/url", "must be a valid URL")
		}
		if style, ok := e["style"].(string); ok && style != "primary" && style != "danger" {
			c.fault(at+"/style", "must be one of primary, danger")
		}
		if confirm, ok := e["confirm"].(map[string]any); ok {
			c.text(confirm["title"], at+"/confirm/title", 100, "plain_text")
			c.text(confirm["text"], at+"/confirm/text", 300, "mrkdwn", "plain_text")
		}
	case kind == "overflow", kind == "image", strings.HasSuffix(kind, "_select"), kind == "datepicker":
	default:
		c.fault(at+"/type", "unsupported type: %s", kind)
	}
}

func (c *checker) text(v any, at string, most int, kinds ...string) {
	o, ok := v.(map[string]any)
	if !ok {
		c.fault(at, "missing required field")
		return
	}
	if kind, _ := o["type"].(string); !slices.Contains(kinds, kind) {
		c.fault(at+"/type", "must be one of %s", strings.Join(kinds, ", "))
	}
	text, _ := o["text"].(string)
	if text == "" {
		c.fault(at+"/text", "must be more than 0 characters")
	}
	if utf8.RuneCountInString(text) > most {
		c.fault(at+"/text", "must be less than %d characters", most+1)
	}
}

// length checks a plain string member; least 0 means that it may be missing.
func (c *checker) length(o map[string]any, at, name string, least, most int) {
	text, _ := o[name].(string)
	if n := utf8.RuneCountInString(text); n < least || n > most {
		c.fault(at+"/"+name, "must have %d to %d characters", least, most)
	}
}

// asObjects gives nil for what is no object, which then fails its checks.
func asObjects(list []any) []map[string]any {
	out := make([]map[string]any, len(list))
	for i, v := range list {
		out[i], _ = v.(map[string]any)
	}
	return out
}
