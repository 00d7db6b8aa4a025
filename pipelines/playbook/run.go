package playbook

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// runFormat is the version of a run's stored form. Fields are only ever added;
// a reader refuses a higher number, because it cannot know what it would lose.
const runFormat = 1

// A Run is one run of one version of a playbook, as far as it has come. Its JSON
// form, made by [Run.Encode], is what is stored.
type Run struct {
	Format   int           `json:"format"`
	ID       hub.RunID     `json:"id"`
	Playbook string        `json:"playbook"`
	Version  string        `json:"version"`
	Event    hub.EventID   `json:"event_id"` // that started it
	Type     hub.EventType `json:"event_type"`
	Subject  string        `json:"subject"`
	// Depth is how many runs in a row led to this one. Events that it raises have
	// one more.
	Depth     int          `json:"depth,omitempty"`
	State     hub.RunState `json:"state"`
	Due       time.Time    `json:"due,omitzero"` // when a waiting run goes on
	StartedAt time.Time    `json:"started_at"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`
	// Steps are the results so far, in order. The last one may be waiting.
	Steps []StepResult `json:"steps"`
}

// A StepResult is how far a step came.
type StepResult struct {
	ID     string     `json:"id"`
	Status StepStatus `json:"status"`
	At     time.Time  `json:"at"`
	// Items is how many items of for_each were taken.
	Items  int            `json:"items,omitempty"`
	Output jsontext.Value `json:"output,omitempty"`
	// Error is why the step failed, or why its condition could not be evaluated
	// and so was not met.
	Error string `json:"error,omitempty"`
	// OnTimeout is there while the step waits for people: what becomes of the run
	// if they do not decide until it is due.
	OnTimeout OnError `json:"on_timeout,omitempty"`
}

// A StepStatus is what became of a step.
type StepStatus string

// Statuses of a step. A step of a delivery is done when the delivery is on record.
const (
	StepDone    StepStatus = "done"
	StepSkipped StepStatus = "skipped"
	StepFailed  StepStatus = "failed"
	StepWaiting StepStatus = "waiting"
)

// Actor is the name under which the run changes things.
func (r *Run) Actor() string { return Actor(r.Playbook) }

// Actor is the name under which the playbook changes things.
func Actor(playbook string) string { return string(hub.ActorPlaybook) + ":" + playbook }

// Encode gives the run's stored form.
func (r *Run) Encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode run %s: %w", r.ID, err)
	}
	return b, nil
}

// DecodeRun reads what [Run.Encode] wrote.
func DecodeRun(b []byte) (*Run, error) {
	var r Run
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("decode a playbook run: %w", err)
	}
	if r.Format < 1 || r.Format > runFormat {
		return nil, fmt.Errorf("run %s has format %d, this program reads up to %d", r.ID, r.Format, runFormat)
	}
	return &r, nil
}

// Asks gives the step that waits for people, nil if the run does not.
func (r *Run) Asks() *StepResult {
	if n := len(r.Steps); n > 0 && r.State == hub.RunWaiting && r.Steps[n-1].Status == StepWaiting && r.Steps[n-1].OnTimeout != "" {
		return &r.Steps[n-1]
	}
	return nil
}

// Result gives the result of a step, nil if the run has not come to it.
func (r *Run) Result(id string) *StepResult {
	for i := range r.Steps {
		if r.Steps[i].ID == id {
			return &r.Steps[i]
		}
	}
	return nil
}
