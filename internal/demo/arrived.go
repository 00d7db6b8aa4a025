package demo

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

// webhooks: the receiver has taken each event once by its id, with signatures
// that it verified itself, and there is such a delivery for each event made.
func (j *judge) webhooks() {
	due := map[string]bool{}
	subscribed := 0
	for _, d := range j.deliveries {
		if d.Kind != "webhook" {
			continue
		}
		due[d.webhookID()] = true
		if d.RunID == "" {
			subscribed++
		}
	}
	ids := make([]string, 0, len(due))
	for id := range due {
		ids = append(ids, id)
	}
	for _, id := range j.far.soar.Missing(soarPath, ids) {
		j.lose("the receiver never took webhook %s", id)
	}
	c := j.far.soar.Counts("")
	j.Deliveries.Webhook, j.Unsigned = int(c.Taken), int(c.Refused+c.Unverified)
	if int(c.Taken) != len(due) {
		j.fault("the receiver took %d webhooks, %d were due", c.Taken, len(due))
	}
	if subscribed != j.events {
		j.lose("%d events were made, but %d went to the webhook that gets all", j.events, subscribed)
	}
	if j.Unsigned > 0 {
		j.fault("the receiver refused %d webhooks for their signature or form", j.Unsigned)
	}
}

// pages: PagerDuty has an incident for each alert that was to be paged. Whether it
// is open or closed is only noted: deliveries of one alert may overtake each
// other when one of them is tried again.
func (j *judge) pages() {
	newest, opened := map[string]string{}, map[string]bool{}
	for _, d := range j.deliveries { // newest first
		if d.Kind != "pagerduty" {
			continue
		}
		j.Deliveries.PagerDuty++
		if newest[d.Subject] == "" {
			newest[d.Subject] = d.Action
		}
		opened[d.Subject] = opened[d.Subject] || d.Action == "trigger"
	}
	state := map[string]string{} // of the newest incident of each alert
	incidents := j.far.pager.Incidents()
	j.Incidents = len(incidents)
	for _, inc := range incidents {
		state[alertIn(inc.DedupKey)] = inc.Status
	}
	for alert, triggered := range opened {
		switch got := state[alert]; {
		case !triggered:
		case got == "":
			j.lose("alert %s was to be paged, but PagerDuty has no incident of it", alert)
		case (got == "resolved") != (newest[alert] == "resolve"):
			j.note("PagerDuty's incident of alert %s is %s, though the newest delivery was %s: an older one came later", alert, got, newest[alert])
		}
	}
	for alert := range state {
		if !opened[alert] {
			j.fault("PagerDuty has an incident of %q, which was not to be paged", alert)
		}
	}
}

// alertIn finds the alert's id in an outside key, which is made of it and the
// generation.
func alertIn(key string) string {
	at := strings.Index(key, "alt_")
	if at < 0 {
		return key
	}
	end := at + len("alt_")
	for end < len(key) && key[end] != ':' && key[end] != '-' && key[end] != '/' && key[end] != '.' && key[end] != '_' {
		end++
	}
	return key[at:end]
}

// posts: Slack has taken each message; the hub puts the delivery's id into it. One
// whose answer was lost may be there twice, since Slack has no key to tell a
// repeat by.
func (j *judge) posts() {
	took, repeats := map[string]bool{}, 0
	for _, m := range j.far.slack.Messages("") {
		id := deliveryIn(m.Blocks)
		if took[id] {
			repeats++
		}
		took[id] = true
	}
	for _, d := range j.deliveries {
		if d.Kind != "slack" {
			continue
		}
		j.Deliveries.Slack++
		if !took[d.ID] {
			j.lose("Slack never took delivery %s", d.ID)
		}
		delete(took, d.ID)
	}
	for id := range took {
		j.fault("Slack has a message that is of no delivery: %q", id)
	}
	unclear := 0
	for _, x := range j.far.slack.History() {
		switch x.Trouble {
		case "failed after it took effect", "cut before the answer", "cut within the answer":
			unclear++
		}
	}
	if repeats > unclear {
		j.fault("Slack has %d messages twice, but only %d answers were lost", repeats, unclear)
	}
}

// deliveryIn finds the delivery's id among the ids of a message's blocks.
func deliveryIn(blocks []map[string]any) string {
	for _, b := range blocks {
		if id, _ := b["block_id"].(string); strings.HasPrefix(id, "dlv_") {
			return id
		}
	}
	return ""
}

// documents: Elasticsearch has one document for each event of an alert, and the
// current state of each alert.
func (j *judge) documents() {
	changes, states := j.far.siem.Documents(alertStream), j.far.siem.Documents(stateIndex)
	j.Deliveries.Elastic = len(changes)
	ids := map[string]bool{}
	for _, d := range changes {
		ids[d.ID] = true
	}
	if len(ids) != j.events || len(changes) != len(ids) {
		j.lose("Elasticsearch has %d documents of %d changes, %d events were made", len(changes), len(ids), j.events)
	}
	for _, d := range states {
		var doc struct {
			Tocsin struct {
				Alert struct {
					Severity string `json:"severity"`
					State    string `json:"state"`
				} `json:"alert"`
			} `json:"tocsin"`
		}
		a, there := j.alerts[d.ID]
		if err := json.Unmarshal(d.Source, &doc); err != nil || !there {
			j.fault("Elasticsearch has a state of %s that cannot be read or is of no alert (%v)", d.ID, err)
			continue
		}
		if got := doc.Tocsin.Alert; got.State != a.Status || got.Severity != a.Severity {
			j.fault("Elasticsearch says that alert %s is %s and %s, the hub says %s and %s", d.ID, got.Severity, got.State, a.Severity, a.Status)
		}
	}
	for id := range j.far.siem.Failures(alertStream) {
		j.lose("Elasticsearch put document %d into the failure store", id)
	}
}

// Where the hub writes with the default namespace.
const (
	alertStream = "logs-tocsin.alert-default"
	stateIndex  = "tocsin-alerts-default"
)

// rules: no far side saw its rules broken.
func (j *judge) rules() {
	for name, broken := range map[string][]unkind.Violation{
		"CyberVault": j.far.vault.Violations(), "EchelonGraph": j.far.echelon.Violations(), "EdgeAI Telemetry": j.far.edge.Violations(),
		"Vigilare": j.far.vigilare.Violations(), "Cloud Optix": j.far.optix.Violations(), "Slack": j.far.slack.Violations(),
		"PagerDuty": j.far.pager.Violations(), "the webhook receiver": j.far.soar.Violations(),
	} {
		for _, v := range broken {
			j.fault("against the rules of %s: %s", name, v)
		}
	}
	for _, v := range j.far.siem.Violations() {
		j.fault("against the rules of Elasticsearch: %s", v)
	}
}
