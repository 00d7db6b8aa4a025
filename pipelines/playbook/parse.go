package playbook

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/internal/glob"
)

var (
	goodName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	goodID   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
)

// Parse reads one playbook. file is what problems name as their file; it may be
// empty. The playbook is nil if there are problems.
func Parse(file string, text []byte, actions Actions) (*Playbook, Problems) {
	r := &reader{file: file}
	if len(text) > MaxText {
		r.fault(nil, "", "the playbook has %d bytes, at most %d are read", len(text), MaxText)
		return nil, r.problems
	}
	root := r.document(text)
	if root == nil {
		return nil, r.problems
	}
	p := r.playbook(root, actions)
	p.Text, p.Version = text, VersionOf(text)
	if len(r.problems) > 0 {
		r.problems.sort()
		return nil, r.problems
	}
	return p, nil
}

// VersionOf gives the version of a playbook's text.
func VersionOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// Load reads every playbook in the files and folders of paths: in a folder, the
// files that end in .yaml or .yml and are no test cases. Good playbooks are
// given even if others have problems.
func Load(actions Actions, paths ...string) ([]*Playbook, Problems) {
	files, problems := loadFiles(actions, paths)
	all := make([]*Playbook, len(files))
	for i := range files {
		all[i] = files[i].Playbook
	}
	return all, problems
}

// A loaded is a playbook with the file it was read from.
type loaded struct {
	*Playbook
	file string
}

func loadFiles(actions Actions, paths []string) (all []loaded, problems Problems) {
	files, problems := find(paths)
	names := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			problems = append(problems, Problem{File: f, Msg: "cannot be read: " + err.Error()})
			continue
		}
		p, faults := Parse(f, text, actions)
		problems = append(problems, faults...)
		if p == nil {
			continue
		}
		if other := names[p.Name]; other != "" {
			problems = append(problems, Problem{File: f, Line: 1, Path: "name", Msg: p.Name + " is also the name of the playbook in " + other})
			continue
		}
		names[p.Name] = f
		all = append(all, loaded{p, f})
	}
	return all, problems
}

// find lists the playbook files of paths.
func find(paths []string) (files []string, problems Problems) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			problems = append(problems, Problem{File: path, Msg: "does not exist or cannot be read"})
			continue
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			problems = append(problems, Problem{File: path, Msg: "cannot be listed: " + err.Error()})
		}
		for _, e := range entries {
			ext := filepath.Ext(e.Name())
			if !e.IsDir() && (ext == ".yaml" || ext == ".yml") && !isCases(e.Name()) {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	return files, problems
}

func isCases(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, filepath.Ext(name)), ".test")
}

func (r *reader) playbook(n *yaml.Node, actions Actions) *Playbook {
	p := &Playbook{Enabled: true}
	seen := map[string]bool{}
	for _, e := range r.mapping(n, "", []string{"name", "description", "on", "when", "enabled", "limits", "steps"}) {
		seen[e.key] = true
		switch e.key {
		case "name":
			if p.Name = r.text(e.node, e.path); !goodName.MatchString(p.Name) {
				r.fault(e.node, e.path, "is %q, want small letters, digits and -, at most 63", p.Name)
			}
		case "description":
			p.Description = r.text(e.node, e.path)
		case "on":
			p.On = r.globs(e)
		case "when":
			p.when = r.expression(expr.Condition, e.node, e.path)
		case "enabled":
			p.Enabled = r.bool(e.node, e.path)
		case "limits":
			r.limits(&p.Limits, e)
		case "steps":
			r.steps(p, e, actions)
		}
	}
	for _, key := range []string{"name", "on", "steps"} {
		if n.Kind == yaml.MappingNode && !seen[key] {
			r.fault(n, key, "is missing")
		}
	}
	return p
}

func (r *reader) globs(e entry) []string {
	list := r.texts(e.node, e.path)
	for i, g := range list {
		if err := glob.Validate(g); err != nil {
			n, path := e.node, e.path
			if n.Kind == yaml.SequenceNode {
				n, path = n.Content[i], fmt.Sprintf("%s[%d]", path, i)
			}
			r.fault(n, path, "%v", err)
		}
	}
	if len(list) == 0 {
		r.fault(e.node, e.path, "names no event type; a playbook starts on events")
	}
	return list
}

func (r *reader) limits(l *Limits, parent entry) {
	for _, e := range r.mapping(parent.node, parent.path, []string{"cooldown", "per", "max_per_hour"}) {
		switch e.key {
		case "cooldown":
			l.Cooldown = r.span(e.node, e.path)
		case "per":
			l.per = r.expression(expr.Value, e.node, e.path)
		case "max_per_hour":
			l.MaxPerHour = int(r.number(e.node, e.path, 1, 100_000))
		}
	}
	if l.per != nil && l.None() {
		r.fault(parent.keyNode, parent.path, "has per but neither cooldown nor max_per_hour")
	}
}

func (r *reader) steps(p *Playbook, parent entry, actions Actions) {
	nodes := r.sequence(parent.node, parent.path)
	if len(nodes) == 0 && parent.node.Kind == yaml.SequenceNode || len(nodes) > MaxSteps {
		r.fault(parent.node, parent.path, "has %d steps, want 1 to %d", len(nodes), MaxSteps)
	}
	for i, n := range nodes {
		r.step(p, n, fmt.Sprintf("%s[%d]", parent.path, i), actions)
	}
}

var stepKeys = []string{"id", "if", "uses", "with", "timeout", "retry", "for_each", "on_error"}

func (r *reader) step(p *Playbook, n *yaml.Node, path string, actions Actions) {
	s := Step{Line: n.Line, OnError: Stop}
	byKey := map[string]entry{}
	for _, e := range r.mapping(n, path, stepKeys) {
		byKey[e.key] = e
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	r.identify(p, &s, n, path, byKey)
	r.choose(&s, n, path, byKey, actions)
	if e, ok := byKey["if"]; ok {
		s.cond = r.expression(expr.StepCondition, e.node, e.path)
		r.refers(p, refs(s.cond), e)
	}
	if e, ok := byKey["for_each"]; ok {
		s.forEach = r.expression(expr.StepList, e.node, e.path)
		r.refers(p, refs(s.forEach), e)
		if s.action != nil && s.action.Waits {
			r.fault(e.keyNode, e.path, "%s waits once, not for each item; remove for_each", s.Uses)
		}
	}
	if e, ok := byKey["on_error"]; ok {
		s.OnError = OnError(r.text(e.node, e.path))
		if s.OnError != Stop && s.OnError != Continue {
			r.fault(e.node, e.path, "is %q, want stop or continue", string(s.OnError))
		}
	}
	r.sending(&s, byKey)
	if s.action != nil {
		r.with(p, &s, n, path, byKey)
	}
	p.Steps = append(p.Steps, s)
}

func (r *reader) identify(p *Playbook, s *Step, n *yaml.Node, path string, byKey map[string]entry) {
	e, ok := byKey["id"]
	if !ok {
		r.fault(n, join(path, "id"), "is missing; it names the step in expressions and in the audit log")
		return
	}
	s.ID = r.text(e.node, e.path)
	if !goodID.MatchString(s.ID) {
		r.fault(e.node, e.path, "is %q, want a small letter, then small letters, digits and _", s.ID)
	}
	if slices.ContainsFunc(p.Steps, func(o Step) bool { return o.ID == s.ID }) {
		r.fault(e.node, e.path, "%s is the id of an earlier step", s.ID)
	}
}

// choose finds the action that the step uses.
func (r *reader) choose(s *Step, n *yaml.Node, path string, byKey map[string]entry, actions Actions) {
	e, ok := byKey["uses"]
	if !ok {
		r.fault(n, join(path, "uses"), "is missing; it names the action")
		return
	}
	s.Uses = r.text(e.node, e.path)
	if s.action = actions[s.Uses]; s.action == nil {
		r.fault(e.node, e.path, "unknown action %s%s", s.Uses, suggest(s.Uses, actions.names()))
	}
}

// sending reads timeout and retry, which only deliveries have.
func (r *reader) sending(s *Step, byKey map[string]entry) {
	for _, key := range []string{"timeout", "retry"} {
		e, ok := byKey[key]
		if !ok {
			continue
		}
		if s.action != nil && !s.action.Delivers {
			r.fault(e.keyNode, e.path, "%s sends nothing, so it has no %s; remove it", s.Uses, key)
		}
		if key == "timeout" {
			s.Timeout = r.span(e.node, e.path)
		} else {
			s.Retry = r.retry(e)
		}
	}
}

func (r *reader) retry(parent entry) *hub.RetryPolicy {
	var p hub.RetryPolicy
	for _, e := range r.mapping(parent.node, parent.path, []string{"schedule", "jitter", "initial", "factor", "max", "attempts"}) {
		switch e.key {
		case "schedule":
			for i, n := range r.sequence(e.node, e.path) {
				p.Schedule = append(p.Schedule, hub.Duration(r.span(n, fmt.Sprintf("%s[%d]", e.path, i))))
			}
		case "jitter":
			j := r.number(e.node, e.path, 0, 1)
			p.Jitter = &j
		case "initial":
			p.Initial = hub.Duration(r.span(e.node, e.path))
		case "factor":
			p.Factor = r.number(e.node, e.path, 1, 100)
		case "max":
			p.Max = hub.Duration(r.span(e.node, e.path))
		case "attempts":
			p.Attempts = int(r.number(e.node, e.path, 1, 100))
		}
	}
	if len(p.Schedule) > 0 && (p.Initial != 0 || p.Factor != 0 || p.Max != 0 || p.Attempts != 0) {
		r.fault(parent.keyNode, parent.path, "has a schedule and initial, factor, max or attempts; use one way")
	}
	return &p
}

// refers checks that the steps an expression reads come before it.
func (r *reader) refers(p *Playbook, ids []string, e entry) {
	var known []string
	for i := range p.Steps {
		known = append(known, p.Steps[i].ID)
	}
	for _, id := range ids {
		switch {
		case slices.Contains(known, id):
		case len(known) == 0:
			r.fault(e.node, e.path, "reads steps.%s, but no step comes before this one", id)
		default:
			r.fault(e.node, e.path, "reads steps.%s, which is no earlier step%s", id, suggest(id, known))
		}
	}
}

func refs(p *expr.Program) []string {
	if p == nil {
		return nil
	}
	return p.Steps()
}
