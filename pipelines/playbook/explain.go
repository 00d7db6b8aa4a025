package playbook

import (
	"fmt"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// DryRun plays a run to its end as if nothing changed meanwhile: what waits goes
// on at once at the time it waited for, and what asks people as if they had
// approved at once. Nothing is sent or stored.
func DryRun(p *Playbook, env Env, now time.Time) (*Run, []Effect, error) {
	run := Start(p, env.Event, now, "run_dryrun")
	var all []Effect
	for run.State == hub.RunWaiting {
		var effects []Effect
		var err error
		if run.Asks() != nil {
			effects, err = Decide(p, run, Verdict{Approved: true, By: []string{"(dry run)"}}, env, now)
		} else {
			if now.Before(run.Due) {
				now = run.Due
			}
			effects, err = Advance(p, run, env, now)
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, effects...)
	}
	return run, all, nil
}

// Explain shows a run for people: each step, what became of it and what it asks for.
func Explain(p *Playbook, run *Run, effects []Effect) string {
	var b strings.Builder
	fmt.Fprintf(&b, "playbook %s, version %s, on %s %s: %s\n", run.Playbook, run.Version, run.Type, run.Subject, run.State)
	for i := range p.Steps {
		s := &p.Steps[i]
		r := run.Result(s.ID)
		if r == nil {
			fmt.Fprintf(&b, "  %-16s %-22s not reached\n", s.ID, s.Uses)
			continue
		}
		fmt.Fprintf(&b, "  %-16s %-22s %s", s.ID, s.Uses, r.Status)
		if r.Items > 0 {
			fmt.Fprintf(&b, ", %d items", r.Items)
		}
		if r.Status == StepWaiting {
			fmt.Fprintf(&b, " until %s", run.Due.Format(time.RFC3339))
		}
		if r.Error != "" {
			fmt.Fprintf(&b, ": %s", r.Error)
		}
		b.WriteByte('\n')
		for _, e := range effects {
			if e.of(s.ID) {
				fmt.Fprintf(&b, "    → %s\n", e)
				if ask, ok := e.Do.(Ask); ok {
					fmt.Fprintf(&b, "      %s\n", ask.waits())
				}
			}
		}
	}
	return b.String()
}

// of reports whether the effect is of the step.
func (e Effect) of(step string) bool {
	rest, ok := strings.CutPrefix(e.Step, step)
	return ok && (rest == "" || rest[0] == '[' || rest[0] == '/')
}
