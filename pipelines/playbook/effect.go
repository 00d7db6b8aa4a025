package playbook

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// An Effect is one thing that a step asks for.
type Effect struct {
	// Step is the key of the effect within its run: the step's id, with [n] for
	// the n-th item of for_each and /name for one of several channels.
	Step string
	Uses string
	Do   Do
}

// A Do is what is asked for: [SetAlert], [Comment], [Suppress], [Deliver] or
// [Ask].
type Do interface{ do() }

// SetAlert changes fields of the run's alert. Empty fields stay as they are.
type SetAlert struct {
	Status   hub.AlertStatus   `json:"status,omitempty"`
	Severity hub.Severity      `json:"severity,omitempty"`
	Assignee *string           `json:"assignee,omitzero"` // "" takes the assignee away
	Labels   map[string]string `json:"labels,omitempty"`  // added; an empty value takes the label away
	Note     string            `json:"note,omitempty"`
}

// Comment adds a note to the alert's timeline.
type Comment struct {
	Text string `json:"text"`
}

// Suppress dismisses the alert: it is quiet until the finding changes.
type Suppress struct {
	Reason string `json:"reason,omitempty"`
}

// Deliver sends something to a far side.
type Deliver struct {
	// Target is the endpoint's name, or that of the connector.
	Target string `json:"target"`
	// Kind is the kind the endpoint must have; "" for any.
	Kind string `json:"kind,omitempty"`
	// Action is one of hub's actions, or a connector's.
	Action string `json:"action"`
	// Params are the step's other inputs, a JSON object.
	Params  jsontext.Value   `json:"params,omitempty"`
	Timeout time.Duration    `json:"-"`
	Retry   *hub.RetryPolicy `json:"retry,omitempty"`
}

// Ask asks people, and the run waits for what they decide until then; see
// [Decide].
type Ask struct {
	Message   string    `json:"message"`
	By        []string  `json:"by,omitempty"`
	Quorum    int       `json:"quorum"`
	OnTimeout OnError   `json:"on_timeout"`
	Channels  []string  `json:"channels,omitempty"` // names of endpoints
	Until     time.Time `json:"until"`
}

func (SetAlert) do() {}
func (Comment) do()  {}
func (Suppress) do() {}
func (Deliver) do()  {}
func (Ask) do()      {}

// apply gives a copy of a as it will be once the effect is carried out, for the
// steps that follow in the same breath.
func (s SetAlert) apply(a *hub.Alert) *hub.Alert {
	c := *a
	if s.Status != "" {
		c.Status = s.Status
	}
	if s.Severity != "" {
		c.Severity = s.Severity
	}
	if s.Assignee != nil {
		c.Assignee = *s.Assignee
	}
	if len(s.Labels) > 0 {
		c.Labels = make(map[string]string, len(a.Labels)+len(s.Labels))
		for k, v := range a.Labels {
			c.Labels[k] = v
		}
		for k, v := range s.Labels {
			if v == "" {
				delete(c.Labels, k)
			} else {
				c.Labels[k] = v
			}
		}
	}
	return &c
}
