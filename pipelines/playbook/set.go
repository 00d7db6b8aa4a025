package playbook

import (
	"fmt"
	"sync"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/internal/glob"
)

// A Fault is told of a "when" that failed while it was evaluated; the playbook
// did not match.
type Fault func(p *Playbook, ev *hub.Event, err error)

// A Set is the playbooks in force. It is safe for concurrent use.
type Set struct {
	all     []*Playbook
	byName  map[string]*Playbook
	byType  map[hub.EventType][]candidate
	actions Actions
	fault   Fault

	mu  sync.Mutex
	old map[string]*Playbook // by version; those that waiting runs were started with
}

// A candidate is a playbook with the actor name that it must not start on.
type candidate struct {
	*Playbook
	actor string
}

// NewSet makes a set. It is an error for two playbooks to have one name. fault
// may be nil.
func NewSet(all []*Playbook, actions Actions, fault Fault) (*Set, error) {
	s := &Set{
		all: all, byName: map[string]*Playbook{}, byType: map[hub.EventType][]candidate{},
		actions: actions, fault: fault, old: map[string]*Playbook{},
	}
	for _, p := range all {
		if s.byName[p.Name] != nil {
			return nil, hub.E(hub.Invalid, fmt.Sprintf("two playbooks are named %s", p.Name))
		}
		s.byName[p.Name] = p
		if p.Enabled {
			s.index(p)
		}
	}
	return s, nil
}

func (s *Set) index(p *Playbook) {
	for _, t := range hub.EventTypes {
		for _, g := range p.On {
			if glob.Match(g, t) {
				s.byType[t] = append(s.byType[t], candidate{p, Actor(p.Name)})
				break
			}
		}
	}
}

// All gives the playbooks in the order they were given.
func (s *Set) All() []*Playbook { return s.all }

// Find gives the playbook in force of that name, or nil.
func (s *Set) Find(name string) *Playbook { return s.byName[name] }

// Match gives the playbooks that ev starts, in the order they were given. Limits
// are not looked at: they need the history that the caller keeps.
func (s *Set) Match(ev *hub.Event) []*Playbook {
	candidates := s.byType[ev.Type]
	if len(candidates) == 0 || ev.Data.Depth >= MaxDepth {
		return nil
	}
	var vars *expr.Vars
	var matched []*Playbook
	for _, c := range candidates {
		if ev.Data.Actor == c.actor {
			continue
		}
		if c.when != nil {
			if vars == nil {
				vars = &expr.Vars{Event: ev, Now: ev.Time}
			}
			ok, err := c.when.Test(vars)
			if err != nil && s.fault != nil {
				s.fault(c.Playbook, ev, err)
			}
			if !ok {
				continue
			}
		}
		matched = append(matched, c.Playbook)
	}
	return matched
}

// Resolve gives the version of a playbook that a run was started with: the one
// in force, or one compiled anew from the text that the caller kept.
func (s *Set) Resolve(name, version string, text func() ([]byte, error)) (*Playbook, error) {
	if p := s.byName[name]; p != nil && p.Version == version {
		return p, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.old[name+"@"+version]; p != nil {
		return p, nil
	}
	b, err := text()
	if err != nil {
		return nil, fmt.Errorf("load playbook %s version %s: %w", name, version, err)
	}
	if VersionOf(b) != version {
		return nil, hub.E(hub.NotFound, fmt.Sprintf("the text of playbook %s version %s is not kept any more", name, version))
	}
	p, problems := Parse("", b, s.actions)
	if p == nil {
		return nil, hub.Wrap(hub.Invalid, problems, fmt.Sprintf("playbook %s version %s cannot run any more", name, version))
	}
	s.old[name+"@"+version] = p
	return p, nil
}
