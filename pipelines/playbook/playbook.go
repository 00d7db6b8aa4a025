// Package playbook reads playbooks and plans their runs.
//
// A playbook is a YAML file: on which events it starts, under which condition,
// and the steps it takes. [Parse] reports every fault with its line and path;
// expressions (internal/expr) and actions are checked then, so that what loads
// can run.
//
// Planning is pure. [Start] makes a run and [Advance] moves it as far as it can
// go at that moment: to its end, or to a step that waits. What the steps ask for
// comes back as [Effect] values and nothing is done here: the caller writes the
// run, the effects' deliveries under the key (run, Effect.Step) and the audit
// entries in one transaction. A step is planned once, because the run that says
// so is stored together with what it planned; so it acts at most once.
//
// A run names the version of the playbook it started with. The caller keeps the
// text of each version ([Playbook.Text]) and [Set.Resolve] finds it again when a
// waiting run goes on after a change or a restart.
//
// A step that asks people (approval) waits until [Decide] brings what they
// decided, or until its time is up, which [Advance] finds.
//
// # Loops
//
// What a playbook changes raises events that playbooks may start on. A playbook
// never starts on an event whose actor it is itself, and no playbook starts on
// an event that [MaxDepth] runs in a row led to: the caller gives the events
// that a run raises the actor "playbook:<name>" and the depth [Run.Depth] + 1.
package playbook

import (
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
)

// Bounds of playbooks.
const (
	// MaxText is the longest playbook in bytes.
	MaxText = 256 << 10
	// MaxSteps is the most steps of one playbook.
	MaxSteps = 100
	// MaxItems is the longest list that for_each takes; a longer one fails the
	// step. A list inside a payload is cut to as many before it gets here.
	MaxItems = expr.MaxList
	// MaxDelay is the longest that one step may wait.
	MaxDelay = 30 * 24 * time.Hour
	// MaxDepth is how many runs in a row may start one another.
	MaxDepth = 4
)

// A Playbook is one version of a playbook, compiled. It never changes.
type Playbook struct {
	Name        string
	Description string
	// Version is the beginning of the SHA-256 of Text, in hex.
	Version string
	// Text is the file the playbook was read from.
	Text    []byte
	On      []string // globs of event types
	Enabled bool
	Limits  Limits
	Steps   []Step

	when *expr.Program // nil: always
}

// A Step is one step of a playbook.
type Step struct {
	ID      string
	Uses    string
	OnError OnError
	Timeout time.Duration    // of each attempt at the delivery; 0: the endpoint's
	Retry   *hub.RetryPolicy // of the delivery; nil: the endpoint's
	Line    int              // in Text

	action  *Action
	cond    *expr.Program // nil: always
	forEach *expr.Program // nil: once
	with    []param
}

// A param is one entry of a step's "with".
type param struct {
	name  string
	spec  Param
	value value
}

// OnError says what becomes of a run when a step fails.
type OnError string

// What a failed step leads to.
const (
	Stop     OnError = "stop"     // the run fails; the default
	Continue OnError = "continue" // the next step is taken
)

// Limits bound how often a playbook runs. The caller keeps the times of the runs
// for each key.
type Limits struct {
	Cooldown   time.Duration
	MaxPerHour int

	per *expr.Program
}

// None reports whether there are no limits, and so nothing to keep.
func (l *Limits) None() bool { return l.Cooldown == 0 && l.MaxPerHour == 0 }

// Window is how far back the times given to [Limits.Allow] must reach.
func (l *Limits) Window() time.Duration {
	if l.MaxPerHour > 0 {
		return max(l.Cooldown, time.Hour)
	}
	return l.Cooldown
}

// Key gives what the limits are counted by for ev: the value of "per", or "" for
// the playbook as a whole.
func (l *Limits) Key(ev *hub.Event, now time.Time) (string, error) {
	if l.per == nil {
		return "", nil
	}
	b, err := l.per.JSON(&expr.Vars{Event: ev, Now: now})
	return string(b), err
}

// Allow reports whether a run may start now, given when runs with the same key
// started, in any order; if not, why.
func (l *Limits) Allow(started []time.Time, now time.Time) (bool, string) {
	hour := 0
	for _, t := range started {
		age := now.Sub(t)
		if age < l.Cooldown {
			return false, "cooldown"
		}
		if age < time.Hour {
			hour++
		}
	}
	if l.MaxPerHour > 0 && hour >= l.MaxPerHour {
		return false, "max_per_hour"
	}
	return true, ""
}

// Endpoints lists the endpoint names that the playbook sends to and that are not
// computed, so that a check can say which of them do not exist.
func (p *Playbook) Endpoints() []string {
	var names []string
	for i := range p.Steps {
		for _, w := range p.Steps[i].with {
			if w.spec.Endpoint {
				names = append(names, w.value.constants()...)
			}
		}
	}
	return names
}
