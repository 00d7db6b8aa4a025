package playbook

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
)

// What a step that asks people waits for them, unless it says another, and how
// many it may want.
const (
	defaultAskTime = 24 * time.Hour
	maxQuorum      = 50
)

func approval() *Action {
	return &Action{
		Doc: "Asks people, and goes on when they approve.", Waits: true,
		Params: map[string]Param{
			"message":    {Type: Text, Required: true, Doc: "what they are asked"},
			"by":         {Type: Texts, Valid: validApprovers, Doc: "who may answer: role:<name>, e-mail addresses or ids; whoever may change alerts if left out"},
			"quorum":     {Type: Number, Valid: validQuorum, Doc: "how many must approve; 1 if left out. One who denies is enough"},
			"timeout":    {Type: Span, Valid: validAskTime, Doc: "24h if left out"},
			"on_timeout": {Type: Text, OneOf: []string{string(Stop), string(Continue)}, Doc: "what the run does if nobody decides; stop if left out"},
			"channels":   {Type: Texts, Endpoint: true, Doc: "names of endpoints where it is asked"},
		},
		Plan: planApproval,
	}
}

func validApprovers(v any) error {
	for _, by := range v.([]string) {
		role, isRole := strings.CutPrefix(by, "role:")
		switch {
		case isRole && !slices.Contains(hub.Roles[:], role):
			return fmt.Errorf("names the role %q, want one of %s", role, strings.Join(hub.Roles[:], ", "))
		case strings.TrimSpace(by) == "":
			return errors.New("holds an empty name")
		case !isRole && !strings.ContainsAny(by, "@_:"):
			return fmt.Errorf("holds %q, want role:<name>, an e-mail address or an id", by)
		}
	}
	return nil
}

func validQuorum(v any) error {
	n, ok := v.(int64)
	if f, is := v.(float64); is && f == float64(int64(f)) {
		n, ok = int64(f), true
	}
	if !ok || n < 1 || n > maxQuorum {
		return fmt.Errorf("is %v, want a whole number from 1 to %d", v, maxQuorum)
	}
	return nil
}

func validAskTime(v any) error {
	if d := v.(time.Duration); d <= 0 || d > MaxDelay {
		return fmt.Errorf("is %v, want more than nothing and at most %v", d, MaxDelay)
	}
	return nil
}

func planApproval(c Call) (Outcome, error) {
	ask := Ask{Message: c.text("message"), Quorum: 1, OnTimeout: Stop}
	ask.By, _ = c.Params["by"].([]string)
	switch n := c.Params["quorum"].(type) {
	case int64:
		ask.Quorum = int(n)
	case float64:
		ask.Quorum = int(n)
	}
	if on := c.text("on_timeout"); on != "" {
		ask.OnTimeout = OnError(on)
	}
	for _, name := range asList(c.Params["channels"]) {
		if !slices.Contains(ask.Channels, name) {
			ask.Channels = append(ask.Channels, name)
		}
	}
	wait, given := c.Params["timeout"].(time.Duration)
	if !given {
		wait = defaultAskTime
	}
	ask.Until = hub.Truncate(c.Now.Add(wait))
	people := !slices.ContainsFunc(ask.By, func(by string) bool { return strings.HasPrefix(by, "role:") })
	if n := len(ask.By); n > 0 && people && n < ask.Quorum {
		return Outcome{}, fmt.Errorf("%d must approve, but by names %d", ask.Quorum, n)
	}
	return Outcome{Effects: []Planned{{Do: ask}}, WaitUntil: ask.Until, OnTimeout: ask.OnTimeout}, nil
}

func asList(v any) []string { list, _ := v.([]string); return list }

// A Verdict is what people decided about what a run asked them.
type Verdict struct {
	Approved bool
	By       []string
	Note     string
}

// Decide brings a run that asks people what they decided, and moves it as
// [Advance] does. Where they denied, the step has failed. It fails if the run
// asks nobody, or not any more.
func Decide(p *Playbook, run *Run, v Verdict, env Env, now time.Time) ([]Effect, error) {
	now = hub.Truncate(now)
	r := run.Asks()
	if r == nil || !now.Before(run.Due) {
		return nil, hub.E(hub.Conflict, "the run does not wait for an answer")
	}
	s := p.step(r.ID)
	if s == nil || p.Version != run.Version {
		return nil, fmt.Errorf("run %s waits in step %s, which playbook %s version %s does not have", run.ID, r.ID, p.Name, p.Version)
	}
	r.Status, r.At, r.OnTimeout, run.Due = StepDone, now, "", now
	r.Output = output("approved", v.By, v.Note)
	if !v.Approved {
		r.Status, r.Output = StepFailed, output("denied", v.By, v.Note)
		r.Error = "denied by " + strings.Join(v.By, ", ")
		if v.Note != "" {
			r.Error += ": " + v.Note
		}
		if s.OnError == Stop {
			run.State, run.EndedAt, run.Due = hub.RunFailed, now, time.Time{}
		}
	}
	return Advance(p, run, env, now)
}

// output is what later steps see of a decision.
func output(decision string, by []string, note string) []byte {
	if by == nil {
		by = []string{}
	}
	b, err := expr.Encode(map[string]any{"decision": decision, "by": anyList(by), "note": note})
	if err != nil {
		panic(fmt.Sprintf("playbook: encode a decision: %v", err)) // the types are ours
	}
	return b
}

func anyList(texts []string) []any {
	list := make([]any, len(texts))
	for i, t := range texts {
		list[i] = t
	}
	return list
}

// timedOut ends a step that nobody decided until due.
func timedOut(r *StepResult, due time.Time) {
	r.Output = output("timed_out", nil, "")
	if r.OnTimeout == Stop {
		r.Status, r.Error = StepFailed, "nobody decided until "+due.UTC().Format(time.RFC3339)
	}
	r.OnTimeout = ""
}

func (p *Playbook) step(id string) *Step {
	for i := range p.Steps {
		if p.Steps[i].ID == id {
			return &p.Steps[i]
		}
	}
	return nil
}

// waits says for whom and how long.
func (a Ask) waits() string {
	whom := "whoever may change alerts"
	if len(a.By) > 0 {
		whom = strings.Join(a.By, ", ")
	}
	return fmt.Sprintf("would wait for %d of %s until %s, then %s; shown as if approved", a.Quorum, whom, a.Until.Format(time.RFC3339), a.OnTimeout)
}
