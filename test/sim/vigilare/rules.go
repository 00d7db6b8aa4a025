package vigilare

import (
	"net/http"
	"slices"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A Channel is where a rule's alerts are sent; its type is email, slack or pagerduty.
type Channel map[string]any

// A Rule is an alert rule.
type Rule struct {
	ID        string    `json:"rule_id"`
	Name      string    `json:"name"`
	MinSRS    int       `json:"min_srs"`
	Scenarios []string  `json:"scenarios"`
	Channels  []Channel `json:"channels"`
	Enabled   bool      `json:"enabled"`
	CreatedAt time.Time `json:"created_at"`
}

// A change is the body of POST and PATCH.
type change struct {
	Name      *string    `json:"name"`
	MinSRS    *int       `json:"min_srs"`
	Scenarios *[]string  `json:"scenarios"`
	Channels  *[]Channel `json:"channels"`
	Enabled   *bool      `json:"enabled"`
}

func (c change) fault() string {
	if c.Name != nil && nameFault(*c.Name) != "" {
		return nameFault(*c.Name)
	}
	if c.MinSRS != nil && (*c.MinSRS < 0 || *c.MinSRS > 100) {
		return "min_srs must be 0 to 100"
	}
	if c.Channels == nil {
		return ""
	}
	if len(*c.Channels) == 0 {
		return "channels needs one at least"
	}
	for _, ch := range *c.Channels {
		kind, _ := ch["type"].(string)
		if !slices.Contains([]string{"email", "slack", "pagerduty"}, kind) {
			return "a channel's type is email, slack or pagerduty"
		}
	}
	return ""
}

func (c change) apply(r *Rule) {
	set(&r.Name, c.Name)
	set(&r.MinSRS, c.MinSRS)
	set(&r.Scenarios, c.Scenarios)
	set(&r.Channels, c.Channels)
	set(&r.Enabled, c.Enabled)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s *Sim) listRules(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unkind.Answer(w, 200, map[string]any{"rules": append([]Rule{}, s.rules...), "count": len(s.rules)})
}

func (s *Sim) createRule(w http.ResponseWriter, r *http.Request) {
	var in change
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	fault := in.fault()
	if in.Name == nil || in.Channels == nil {
		fault = "name and channels are required"
	}
	if fault != "" {
		s.wrong(w, r, 400, "%s", fault)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rule := Rule{ID: s.id(), MinSRS: 40, Scenarios: []string{}, Enabled: true, CreatedAt: s.now()}
	in.apply(&rule)
	s.rules = append(s.rules, rule)
	unkind.Answer(w, 201, rule)
}

// rule gives the place of the rule in the path, or answers 404.
func (s *Sim) rule(w http.ResponseWriter, r *http.Request) int {
	i := slices.IndexFunc(s.rules, func(x Rule) bool { return x.ID == r.PathValue("id") })
	if i < 0 {
		refuse(w, 404, "")
	}
	return i
}

func (s *Sim) patchRule(w http.ResponseWriter, r *http.Request) {
	var in change
	if !s.query(w, r) || !s.body(w, r, &in) {
		return
	}
	if fault := in.fault(); fault != "" {
		s.wrong(w, r, 400, "%s", fault)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.rule(w, r); i >= 0 {
		in.apply(&s.rules[i])
		unkind.Answer(w, 200, s.rules[i])
	}
}

func (s *Sim) deleteRule(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.rule(w, r); i >= 0 {
		s.rules = slices.Delete(s.rules, i, i+1)
		unkind.Answer(w, 200, map[string]string{"message": "Alert rule deleted"})
	}
}
