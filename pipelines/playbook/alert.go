package playbook

import (
	"errors"

	"github.com/tocsin/tocsin/hub"
)

var errNoAlert = errors.New("the event is not about an alert")

func alertSet() *Action {
	statuses := []string{string(hub.AlertOpen), string(hub.AlertInvestigating), string(hub.AlertResolved), string(hub.AlertDismissed)}
	var severities []string
	for _, s := range hub.Severities {
		severities = append(severities, string(s))
	}
	return &Action{
		Doc: "Changes the alert.",
		Params: map[string]Param{
			"status":   {Type: Text, OneOf: statuses},
			"severity": {Type: Text, OneOf: severities},
			"assignee": {Type: Text, Doc: `"" takes the assignee away`},
			"labels":   {Type: TextMap, Doc: "added to those there are; an empty value takes the label away"},
			"note":     {Type: Text},
		},
		Check: atLeastOne("status", "severity", "assignee", "labels", "note"),
		Plan:  planSet,
	}
}

func planSet(c Call) (Outcome, error) {
	if c.Alert == nil {
		return Outcome{}, errNoAlert
	}
	set := SetAlert{
		Status: hub.AlertStatus(c.text("status")), Severity: hub.Severity(c.text("severity")), Note: c.text("note"),
	}
	if who, ok := c.Params["assignee"].(string); ok {
		set.Assignee = &who
	}
	set.Labels, _ = c.Params["labels"].(map[string]string)
	return Outcome{Effects: []Planned{{Do: set}}}, nil
}

func alertComment() *Action {
	return &Action{
		Doc:    "Adds a note to the alert's timeline.",
		Params: map[string]Param{"text": {Type: Text, Required: true}},
		Plan: func(c Call) (Outcome, error) {
			if c.Alert == nil {
				return Outcome{}, errNoAlert
			}
			return Outcome{Effects: []Planned{{Do: Comment{c.text("text")}}}}, nil
		},
	}
}

func planSuppress(c Call) (Outcome, error) {
	if c.Alert == nil {
		return Outcome{}, errNoAlert
	}
	return Outcome{Effects: []Planned{{Do: Suppress{Reason: c.text("reason")}}}}, nil
}
