package expr

import (
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// Vars is what one evaluation, or a row of them over the same event, sees. What
// a field points to must not change while a Vars is in use; decoded payloads are
// kept in it. It is for one goroutine.
type Vars struct {
	Event *hub.Event
	// Alert is the alert as it is now; nil for the one in Event.
	Alert   *hub.Alert
	Finding *hub.Finding
	Now     time.Time

	// Step finds the result of a step; StepIDs lists the steps that have one.
	Step    func(id string) *Step
	StepIDs []string
	Run     *Run
	// Item is the element at hand, as JSON; nil outside of for_each.
	Item jsontext.Value
	// Input is a document of a source system, as JSON, or InputPlain as values of
	// the kinds that [Decode] gives, within its bounds.
	Input      jsontext.Value
	InputPlain map[string]any
	// Body is what Input is a part of, as JSON, and Headers came with it, their
	// names in small letters.
	Body    jsontext.Value
	Headers map[string]string

	alert   alertView
	event   eventView
	finding findingView
	item    document
	input   document
	body    document
}

// A Step is a step's result as expressions see it.
type Step struct {
	Status string
	At     time.Time
	Error  string
	Output jsontext.Value

	output document
}

// A Run tells which run of which playbook an expression is evaluated in.
type Run struct {
	ID        hub.RunID
	Playbook  string
	Version   string
	StartedAt time.Time
}

// Views are what fields are read from: the object, and what was decoded of it.
type (
	alertView struct {
		*hub.Alert
		payload document
	}
	findingView struct {
		*hub.Finding
		payload, raw document
	}
	eventView struct {
		*hub.Event
		alert  alertView
		object document
	}
	dataView eventView
)

func (d *dataView) alertView() *alertView {
	if d.Data.Alert == nil {
		return nil
	}
	d.alert.point(d.Data.Alert)
	return &d.alert
}

// point makes the view show a, forgetting what was decoded of another alert.
func (w *alertView) point(a *hub.Alert) {
	if w.Alert != a {
		*w = alertView{Alert: a}
	}
}

// begin points the views at what the public fields name now.
func (v *Vars) begin() {
	if v.event.Event != v.Event {
		v.event = eventView{Event: v.Event}
	}
	if v.finding.Finding != v.Finding {
		v.finding = findingView{Finding: v.Finding}
	}
	a := v.Alert
	if a == nil && v.Event != nil {
		a = v.Event.Data.Alert
	}
	v.alert.point(a)
	v.item.raw, v.input.raw, v.body.raw = v.Item, v.Input, v.Body
}

// activation shows Vars to CEL without adding methods to it.
type activation Vars

// Parent implements [cel.Activation].
func (*activation) Parent() cel.Activation { return nil }

// ResolveName implements [cel.Activation].
func (v *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "event":
		return &v.event, v.Event != nil
	case "alert":
		if v.alert.Alert == nil {
			return missing("the event has no alert"), true
		}
		return &v.alert, true
	case "finding":
		return &v.finding, v.Finding != nil
	case "now":
		return types.Timestamp{Time: v.Now}, true
	case "steps":
		return v.steps(), true
	case "run":
		return v.Run, v.Run != nil
	case "item":
		if len(v.Item) == 0 {
			return missing("there is no item outside of for_each"), true
		}
		return shown(&v.item), true
	case "input":
		if v.InputPlain != nil {
			return v.InputPlain, true
		}
		return shown(&v.input), true
	case "body":
		return shown(&v.body), true
	case "headers":
		return clipMap(v.Headers), true
	}
	return nil, false
}

// shown is a decoded document, or why it cannot be decoded.
func shown(d *document) any {
	val, err := d.decoded()
	if err != nil {
		return types.WrapErr(err)
	}
	return val
}

func missing(msg string) any { return types.NewErr("%s", msg) }

func (v *activation) steps() map[string]any {
	m := make(map[string]any, len(v.StepIDs))
	for _, id := range v.StepIDs {
		if s := v.Step(id); s != nil {
			m[id] = s
		}
	}
	return m
}
