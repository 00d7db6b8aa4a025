package vigilare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

var (
	severities = []string{"CRITICAL", "HIGH", "MEDIUM", "LOW"}
	titles     = map[string]string{
		"iam": "Root account login detected", "billing": "Spend is far above the usual", "network": "Security group open to the world",
		"storage": "Bucket is public", "logging": "CloudTrail was stopped",
	}
	scenarios = []string{"iam", "billing", "network", "storage", "logging"}
)

// Add makes n new open signals, spread over the active accounts, and gives
// their ids. One in eight is detected a few minutes late.
func (s *Sim) Add(n int) []string {
	ids := make([]string, n)
	accounts := slices.DeleteFunc(s.Accounts(), func(a Account) bool { return a.Status != "ACTIVE" })
	for i := range ids {
		late := time.Duration(0)
		if s.IntN(8) == 0 {
			late = time.Duration(s.IntN(300)) * time.Second
		}
		scenario := scenarios[s.IntN(len(scenarios))]
		ids[i] = s.AddSignal(accounts[s.IntN(len(accounts))].ID, Signal{
			Scenario: scenario, Severity: severities[s.IntN(4)], DetectedAt: s.now().Add(-late),
		}).ID
	}
	return ids
}

// AddSignal adds a signal to an account; what is missing is made.
func (s *Sim) AddSignal(account string, g Signal) Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.ID = cmp.Or(g.ID, s.id())
	g.Title = cmp.Or(g.Title, titles[g.Scenario])
	g.Description = cmp.Or(g.Description, g.Title+" from 203.0.113.5")
	if g.DetectedAt.IsZero() {
		g.DetectedAt = s.now()
	}
	g.DetectedAt = g.DetectedAt.UTC().Truncate(time.Second)
	list := s.signals[account]
	i, _ := slices.BinarySearchFunc(list, g, func(x, y Signal) int {
		return cmp.Or(y.DetectedAt.Compare(x.DetectedAt), strings.Compare(y.ID, x.ID))
	})
	s.signals[account] = slices.Insert(list, i, g)
	s.fire(account, func(r Rule) bool {
		return (len(r.Scenarios) == 0 || slices.Contains(r.Scenarios, g.Scenario)) && !s.waiting(account, r.ID)
	}, g.Scenario)
	return g
}

// waiting reports whether an alert of a rule waits for its acknowledgement.
func (s *Sim) waiting(account, rule string) bool {
	return slices.ContainsFunc(s.alerts, func(a Alert) bool {
		return a.AccountID == account && a.RuleID == rule && a.AcknowledgedAt == nil
	})
}

// fire makes an alert for each enabled rule that applies.
func (s *Sim) fire(account string, applies func(Rule) bool, scenarios ...string) {
	i := s.accountAt(account)
	if i < 0 || s.accounts[i].SRS == nil {
		return
	}
	for _, r := range s.rules {
		if !r.Enabled || !applies(r) {
			continue
		}
		s.alerts = slices.Insert(s.alerts, 0, Alert{
			ID: s.id(), AccountID: account, RuleID: r.ID, SRS: *s.accounts[i].SRS, FiredAt: s.now(), Scenarios: append([]string{}, scenarios...),
		})
	}
}

// Signals gives every signal, by account, newest first.
func (s *Sim) Signals() map[string][]Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]Signal{}
	for account, list := range s.signals {
		all[account] = slices.Clone(list)
	}
	return all
}

// edit changes a signal; false if there is none.
func (s *Sim) edit(id string, change func(*Signal)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.signals {
		for i := range list {
			if list[i].ID == id {
				change(&list[i])
				return true
			}
		}
	}
	return false
}

// Resolve ends a signal now, or opens it again.
func (s *Sim) Resolve(id string, resolved bool) bool {
	return s.edit(id, func(g *Signal) {
		at := s.now()
		switch {
		case !resolved:
			g.ResolvedAt = nil
		case g.ResolvedAt == nil:
			g.ResolvedAt = &at
		}
	})
}

// SetSeverity changes a signal's severity.
func (s *Sim) SetSeverity(id, severity string) bool {
	return s.edit(id, func(g *Signal) { g.Severity = severity })
}

// SetScore is the end of a scan: the account's score from now on.
func (s *Sim) SetScore(account string, srs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.accountAt(account)
	if i < 0 {
		return
	}
	a := &s.accounts[i]
	before := 100
	if a.SRS != nil {
		before = *a.SRS
	}
	at := s.now()
	a.SRS, a.LastScanAt, a.LastSuccessAt = &srs, &at, &at
	s.setDay(account, at.Format(time.DateOnly), srs)
	s.fire(account, func(r Rule) bool { return srs < r.MinSRS && before >= r.MinSRS })
}

// SetDay sets the score that the history has for a day.
func (s *Sim) SetDay(account, date string, srs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setDay(account, date, srs)
}

func (s *Sim) setDay(account, date string, srs int) {
	if s.history[account] == nil {
		s.history[account] = map[string]int{}
	}
	s.history[account][date] = srs
}

// Ack acknowledges an alert; false if there is none.
func (s *Sim) Ack(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.ack(id)
	return ok
}

func (s *Sim) ack(id string) (Alert, bool) {
	i := slices.IndexFunc(s.alerts, func(a Alert) bool { return a.ID == id })
	if i < 0 {
		return Alert{}, false
	}
	if s.alerts[i].AcknowledgedAt == nil {
		at := s.now()
		s.alerts[i].AcknowledgedAt = &at
	}
	return s.alerts[i], true
}

// A step is one of a recovery checklist.
type step struct {
	Step        int    `json:"step"`
	Title       string `json:"title"`
	Description string `json:"description"`
	DocsURL     string `json:"docs_url"`
}

var remedies = map[string]string{
	"iam": "Remove offending IAM policies", "billing": "Stop what causes the spend", "network": "Close security groups",
	"storage": "Block public access", "logging": "Turn CloudTrail on again",
}

// checklist has a step for each scenario with an open signal.
func (s *Sim) checklist(account string) []step {
	steps := []step{}
	for _, scenario := range scenarios {
		open := slices.ContainsFunc(s.signals[account], func(g Signal) bool { return g.Scenario == scenario && g.ResolvedAt == nil })
		if open {
			steps = append(steps, step{
				Step: len(steps) + 1, Title: remedies[scenario], Description: fmt.Sprintf("There are open signals of scenario %s.", scenario),
				DocsURL: "https://docs.aws.amazon.com/" + scenario + "/",
			})
		}
	}
	return steps
}
