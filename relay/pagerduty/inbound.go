package pagerduty

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// SignatureHeader carries the signatures of a v3 webhook.
const SignatureHeader = "X-Pagerduty-Signature"

// Verify reports whether one of the signatures in a header is that of the body
// under the secret of a subscription. There are several, by comma, while
// PagerDuty changes the secret. The time it takes says nothing about how much of
// a signature is right.
func Verify(secret string, header []string, body []byte) bool {
	if secret == "" {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	want := mac.Sum(nil)
	good := false
	for _, line := range header {
		for one := range strings.SplitSeq(line, ",") {
			text, v1 := strings.CutPrefix(strings.TrimSpace(one), "v1=")
			got, err := hex.DecodeString(text)
			if v1 && err == nil && hmac.Equal(got, want) {
				good = true
			}
		}
	}
	return good
}

// An Inbound is what PagerDuty tells by a v3 webhook, as far as the hub wants to
// know.
type Inbound struct {
	ID       string // of what happened, the same when it is told again
	Type     string // such as incident.acknowledged
	Agent    Agent
	Incident Incident
	Note     string // of incident.annotated and incident.status_update_published
}

// An Agent is who did it: a person or, with a Type of its own, an integration or
// PagerDuty itself.
type Agent struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Summary string `json:"summary"`
}

// Integration reports whether an event of an integration did it, which for an
// incident of ours is one that the hub sent.
func (a Agent) Integration() bool { return strings.Contains(a.Type, "integration") }

// An Incident is PagerDuty's.
type Incident struct {
	ID        string
	Key       string // the dedup_key of the event that opened it; "" where PagerDuty does not tell
	URL       string
	Priority  string
	Assignees []string // names
}

// reference is how PagerDuty names an object of its own.
type reference struct {
	ID      string `json:"id"`
	URL     string `json:"html_url"`
	Summary string `json:"summary"`
}

// inbound is a v3 webhook. Members that PagerDuty adds later are passed over.
type inbound struct {
	Event struct {
		ID    string         `json:"id"`
		Type  string         `json:"event_type"`
		Agent *Agent         `json:"agent"`
		Data  jsontext.Value `json:"data"`
	} `json:"event"`
}

// inboundData is what events about incidents tell.
type inboundData struct {
	reference

	Key       string      `json:"incident_key"`
	Priority  *reference  `json:"priority"`
	Assignees []reference `json:"assignees"`

	Incident *reference `json:"incident"` // in place of all above, of what hangs on an incident
	Content  string     `json:"content"`
	Message  string     `json:"message"`
}

// ReadInbound reads the body of a v3 webhook whose signature was verified. What
// it does not know of the event is left empty.
func ReadInbound(body []byte) (Inbound, error) {
	var w inbound
	if err := json.Unmarshal(body, &w); err != nil {
		return Inbound{}, hub.Wrap(hub.Malformed, err, "the body is not a v3 webhook of PagerDuty")
	}
	e := &w.Event
	if e.ID == "" || e.Type == "" {
		return Inbound{}, hub.E(hub.Malformed, "the body is not a v3 webhook of PagerDuty: event.id or event.event_type is missing")
	}
	out := Inbound{ID: e.ID, Type: e.Type}
	if e.Agent != nil {
		out.Agent = *e.Agent
	}
	var d inboundData
	if json.Unmarshal(e.Data, &d) != nil {
		return out, nil // of a resource that is no incident
	}
	incident := d.reference
	if d.Incident != nil {
		incident = *d.Incident
	}
	out.Note = first(d.Content, d.Message)
	out.Incident = Incident{ID: incident.ID, URL: incident.URL, Key: d.Key}
	if d.Priority != nil {
		out.Incident.Priority = d.Priority.Summary
	}
	for _, a := range d.Assignees {
		out.Incident.Assignees = append(out.Incident.Assignees, a.Summary)
	}
	return out, nil
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Key is the dedup_key of a generation of an alert.
func Key(id hub.AlertID, generation int64) string {
	return cutBytes(string(id), maxKey-22) + ":g" + strconv.FormatInt(generation, 10)
}

// ReadKey gives the alert and the generation that a dedup_key names, false if it
// is none of an alert of ours.
func ReadKey(key string) (hub.AlertID, int64, bool) {
	id, text, found := strings.Cut(key, ":g")
	generation, err := strconv.ParseInt(text, 10, 64)
	if !found || err != nil || generation < 1 || !strings.HasPrefix(id, string(hub.PrefixAlert)) || Key(hub.AlertID(id), generation) != key {
		return "", 0, false
	}
	return hub.AlertID(id), generation, true
}
