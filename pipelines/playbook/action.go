package playbook

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
)

// Actions is the catalogue of what steps may use, by name. [Builtin] makes the
// hub's own; connectors add theirs with [ConnectorAction]. A new action is one
// entry.
type Actions map[string]*Action

// An Action is something that a step can do.
type Action struct {
	Doc    string
	Params map[string]Param
	// Delivers says that the action acts through deliveries, so that timeout and
	// retry have a meaning. Waits says that it may wait, so that for_each has none.
	Delivers, Waits bool
	// Check finds what is wrong with a step as a whole; given says which
	// parameters it has. It may be nil.
	Check func(given func(name string) bool) string
	// Plan tells what the step asks for. It is pure.
	Plan func(Call) (Outcome, error)
}

// A Param is one input of an action.
type Param struct {
	Type     Type
	Required bool
	OneOf    []string // the only texts allowed, if there are any
	Endpoint bool     // it names endpoints
	// Valid finds what is wrong with a value that has the type; nil: nothing is.
	Valid func(v any) error
	Doc   string
}

// A Type is what kind of value a parameter takes.
type Type string

// Types of parameters.
const (
	Text     Type = "text"
	Texts    Type = "text or list of texts"
	Number   Type = "number"
	Bool     Type = "true or false"
	Span     Type = "duration such as 15m"
	Instant  Type = "time such as 2026-01-02T15:04:05Z"
	TextMap  Type = "map of texts"
	Object   Type = "map"
	List     Type = "list"
	Anything Type = "any value"
)

// A Call is one planning of a step. Params hold string, []string, float64,
// int64, bool, time.Duration, time.Time, map[string]string, map[string]any or
// []any, as the parameter's type says; what was not given is absent.
type Call struct {
	Params  map[string]any
	Event   *hub.Event
	Alert   *hub.Alert // nil if the event is about something else
	Now     time.Time
	Timeout time.Duration
	Retry   *hub.RetryPolicy
}

func (c *Call) text(name string) string { s, _ := c.Params[name].(string); return s }

// An Outcome is what a step asks for.
type Outcome struct {
	Effects []Planned
	// WaitUntil makes the step wait; zero: it is done.
	WaitUntil time.Time
	// OnTimeout says that it waits for people until then, and what becomes of the
	// run if they do not decide; "": it waits for the time alone.
	OnTimeout OnError
	// Output is what later steps see as steps.<id>.output; nil for nothing.
	Output any
}

// A Planned is an effect whose key is the step's own, or for one of several the
// step's with a part added.
type Planned struct {
	Part string
	Do   Do
}

// Builtin gives the hub's own actions.
func Builtin() Actions {
	return Actions{
		"alert.set":     alertSet(),
		"alert.comment": alertComment(),
		"alert.suppress": {
			Doc:    "Dismisses the alert: it is quiet until the finding changes.",
			Params: map[string]Param{"reason": {Type: Text}},
			Plan:   planSuppress,
		},
		"notify": {
			Doc: "Sends a message to channels of any kind.", Delivers: true,
			Params: map[string]Param{
				"channels": {Type: Texts, Required: true, Endpoint: true, Doc: "names of endpoints"},
				"message":  {Type: Text, Doc: "text; the alert's summary if left out"},
			},
			Plan: planNotify,
		},
		"slack.post": delivery(hub.KindSlack, hub.ActionPost, "Posts to Slack.", map[string]Param{
			"message": {Type: Text, Doc: "text; the alert's card if left out"},
		}),
		"pagerduty.trigger": delivery(hub.KindPagerDuty, hub.ActionTrigger, "Opens a PagerDuty incident for the alert.", map[string]Param{
			"summary":  {Type: Text, Doc: "the alert's title if left out"},
			"severity": {Type: Text, OneOf: []string{"critical", "error", "warning", "info"}, Doc: "the alert's if left out"},
			"details":  {Type: Object, Doc: "added to the incident's details"},

			"component": {Type: Text, Doc: "the asset's name or type if left out"},
			"group":     {Type: Text, Doc: "the account if left out"},
			"class":     {Type: Text, Doc: "the alert's type if left out"},
			"links":     {Type: List, Doc: "maps of href and text, shown with the incident"},
			"images":    {Type: List, Doc: "maps of src (https), href and alt, shown with the incident"},
		}),
		"pagerduty.acknowledge": delivery(hub.KindPagerDuty, hub.ActionAcknowledge, "Acknowledges the alert's PagerDuty incident.", nil),
		"pagerduty.resolve":     delivery(hub.KindPagerDuty, hub.ActionResolve, "Resolves the alert's PagerDuty incident.", nil),
		"webhook.send":          webhookSend(),
		"approval":              approval(),
		"delay": {
			Doc: "Waits.", Waits: true,
			Params: map[string]Param{"for": {Type: Span}, "until": {Type: Instant}},
			Check:  exactlyOne("for", "until"),
			Plan:   planDelay,
		},
	}
}

// ConnectorAction is an action of a source system: action is its name there,
// without the connector's.
func ConnectorAction(connector, action, doc string, params map[string]Param) *Action {
	return &Action{
		Doc: doc, Params: params, Delivers: true,
		Plan: func(c Call) (Outcome, error) {
			return c.deliver(connector, hub.KindConnector, action)
		},
	}
}

// Merge adds more to a copy of a. It is an error to name an action twice.
func (a Actions) Merge(more Actions) (Actions, error) {
	all := maps.Clone(a)
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if _, ok := all[name]; ok {
			return nil, fmt.Errorf("the action %s exists twice", name)
		}
		all[name] = more[name]
	}
	return all, nil
}

func (a Actions) names() []string { return slices.Sorted(maps.Keys(a)) }

// delivery is an action that sends to the endpoint named by channel.
func delivery(kind, action, doc string, params map[string]Param) *Action {
	all := map[string]Param{"channel": {Type: Text, Required: true, Endpoint: true, Doc: "name of the endpoint"}}
	maps.Copy(all, params)
	return &Action{
		Doc: doc, Params: all, Delivers: true,
		Plan: func(c Call) (Outcome, error) {
			target := c.text("channel")
			delete(c.Params, "channel")
			return c.deliver(target, kind, action)
		},
	}
}

func webhookSend() *Action {
	return &Action{
		Doc: "Sends to a webhook endpoint, signed as its events are.", Delivers: true,
		Params: map[string]Param{
			"webhook": {Type: Text, Required: true, Endpoint: true, Doc: "name of the endpoint"},
			"body":    {Type: Anything, Doc: "the JSON body; the event if left out"},
		},
		Plan: func(c Call) (Outcome, error) {
			target := c.text("webhook")
			delete(c.Params, "webhook")
			return c.deliver(target, hub.KindWebhook, hub.ActionSend)
		},
	}
}

// deliver is the outcome that sends the remaining parameters to target.
func (c *Call) deliver(target, kind, action string) (Outcome, error) {
	params, err := c.encode()
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Effects: []Planned{{Do: Deliver{
		Target: target, Kind: kind, Action: action, Params: params, Timeout: c.Timeout, Retry: c.Retry,
	}}}}, nil
}

func (c *Call) encode() (jsontext.Value, error) {
	if len(c.Params) == 0 {
		return nil, nil
	}
	return expr.Encode(c.Params)
}

func planNotify(c Call) (Outcome, error) {
	channels, _ := c.Params["channels"].([]string)
	delete(c.Params, "channels")
	params, err := c.encode()
	if err != nil {
		return Outcome{}, err
	}
	var out Outcome
	for i, name := range channels {
		if slices.Contains(channels[:i], name) {
			continue
		}
		p := Planned{Do: Deliver{Target: name, Action: hub.ActionPost, Params: params, Timeout: c.Timeout, Retry: c.Retry}}
		if len(channels) > 1 {
			p.Part = name
		}
		out.Effects = append(out.Effects, p)
	}
	if len(out.Effects) == 0 {
		return Outcome{}, errors.New("channels is an empty list")
	}
	return out, nil
}

func planDelay(c Call) (Outcome, error) {
	until, ok := c.Params["until"].(time.Time)
	if d, given := c.Params["for"].(time.Duration); given {
		until, ok = c.Now.Add(d), true
	}
	switch {
	case !ok:
		return Outcome{}, errors.New("want for or until")
	case until.Sub(c.Now) > MaxDelay:
		return Outcome{}, fmt.Errorf("a step waits at most %v", MaxDelay)
	case !until.After(c.Now):
		return Outcome{}, nil
	}
	return Outcome{WaitUntil: hub.Truncate(until)}, nil
}

func exactlyOne(names ...string) func(func(string) bool) string {
	return func(given func(string) bool) string {
		n := 0
		for _, name := range names {
			if given(name) {
				n++
			}
		}
		if n != 1 {
			return "wants exactly one of " + strings.Join(names, ", ")
		}
		return ""
	}
}

func atLeastOne(names ...string) func(func(string) bool) string {
	return func(given func(string) bool) string {
		if slices.ContainsFunc(names, given) {
			return ""
		}
		return "wants at least one of " + strings.Join(names, ", ")
	}
}
