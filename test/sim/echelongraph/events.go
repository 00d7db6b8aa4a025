package echelongraph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

var (
	severities = []string{"critical", "high", "medium", "low", "info"}
	statuses   = map[string][]string{
		"alerts":          {"open", "acknowledged", "resolved", "dismissed"},
		"detections":      {"open", "acknowledged", "resolved", "dismissed"},
		"incidents":       {"open", "investigating", "resolved", "closed"},
		"vulnerabilities": {"open", "in_progress", "resolved", "ignored"},
	}
	categories = []string{"identity", "network", "data", "compute", "malware"}
)

// Add makes n new open items, most of them alerts, and gives their ids by list.
func (s *Sim) Add(n int) map[string][]string {
	ids := map[string][]string{}
	for range n {
		list := []string{"alerts", "alerts", "alerts", "detections", "incidents", "vulnerabilities", "vulnerabilities"}[s.IntN(7)]
		ids[list] = append(ids[list], s.AddItem(list, Item{Severity: severities[s.IntN(5)]}).ID)
	}
	return ids
}

// AddItem adds an item to a list; what is missing is made. Its event is sent.
func (s *Sim) AddItem(list string, x Item) Item {
	n := s.IntN(1000)
	s.mu.Lock()
	x.ID = cmp.Or(x.ID, s.id(map[string]string{"alerts": "alr", "detections": "det", "incidents": "inc", "vulnerabilities": "vul"}[list]))
	x.Severity, x.Status = cmp.Or(x.Severity, "high"), cmp.Or(x.Status, "open")
	x.AssetID = cmp.Or(x.AssetID, s.assets[n%len(s.assets)].ID)
	if x.CreatedAt.IsZero() {
		x.CreatedAt = s.now()
	}
	x.CreatedAt = x.CreatedAt.UTC().Truncate(time.Second)
	x.UpdatedAt = x.CreatedAt
	switch list {
	case "vulnerabilities":
		x.CVE = cmp.Or(x.CVE, fmt.Sprintf("CVE-2026-%05d", s.serial))
		x.CVSS, x.Package, x.Fixed = cmp.Or(x.CVSS, 7.5), cmp.Or(x.Package, "openssl"), cmp.Or(x.Fixed, "3.0.99")
		x.Title = cmp.Or(x.Title, x.CVE+" in "+x.Package)
		x.remedy = remediation{1 + n%5, "Upgrade " + x.Package + " to " + x.Fixed, "not_started", 0}
	case "incidents":
		x.Title = cmp.Or(x.Title, "Incident on "+x.AssetID)
	case "detections":
		x.RuleID = cmp.Or(x.RuleID, s.rules[n%len(s.rules)].ID)
		fallthrough
	default:
		x.Category = cmp.Or(x.Category, categories[n%len(categories)])
		x.Title = cmp.Or(x.Title, "Suspicious "+x.Category+" activity")
		x.RiskScore = cmp.Or(x.RiskScore, float64(n%100))
	}
	all := s.list(list)
	i, _ := slices.BinarySearchFunc(*all, &x, func(a, b *Item) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	kept := x
	*all = slices.Insert(*all, i, &kept)
	s.mu.Unlock()
	switch list {
	case "alerts", "detections":
		s.tell("alert.created", x)
	case "incidents":
		s.tell("incident.created", x)
	}
	return x
}

// Change gives an item another status or severity; "" leaves it. It reports
// whether there is such an item.
func (s *Sim) Change(list, id, status, severity string) bool {
	s.mu.Lock()
	x := s.find(list, id)
	if x == nil {
		s.mu.Unlock()
		return false
	}
	changed := status != "" && status != x.Status || severity != "" && severity != x.Severity
	resolved := status == "resolved" && status != x.Status
	if changed {
		x.Status, x.Severity = cmp.Or(status, x.Status), cmp.Or(severity, x.Severity)
		x.UpdatedAt = s.now()
	}
	told := *x
	s.mu.Unlock()
	if resolved && (list == "alerts" || list == "detections") {
		s.tell("alert.resolved", told)
	}
	return true
}

// SetCompliance changes a framework's score. Falling, it is drift.
func (s *Sim) SetCompliance(framework string, score float64) {
	s.mu.Lock()
	i := slices.IndexFunc(s.compliance, func(x Score) bool { return x.Framework == framework })
	if i < 0 {
		s.compliance = append(s.compliance, Score{Framework: framework})
		i = len(s.compliance) - 1
	}
	before := s.compliance[i].Score
	s.compliance[i].Score, s.compliance[i].UpdatedAt = score, s.now()
	s.mu.Unlock()
	data := map[string]any{"framework": framework, "score": score, "previous_score": before}
	if score != before {
		s.tell("compliance.score_changed", data)
	}
	if score < before {
		s.tell("compliance.drift", data)
	}
}

// SetRisk changes a category's score.
func (s *Sim) SetRisk(category string, score float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.risk {
		if s.risk[i].Category == category {
			s.risk[i].Score, s.risk[i].UpdatedAt = score, s.now()
		}
	}
}

// AddEntry adds to the audit trail.
func (s *Sim) AddEntry(e Entry) Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log(e)
}

func (s *Sim) log(e Entry) Entry {
	e.ID, e.User, e.Outcome = cmp.Or(e.ID, s.id("aud")), cmp.Or(e.User, "dana@example.com"), cmp.Or(e.Outcome, "success")
	e.CreatedAt = s.now()
	s.audit = slices.Insert(s.audit, 0, e)
	return e
}

// PutAsset adds an asset, or puts it in the place of the one with its id.
func (s *Sim) PutAsset(a Asset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.CreatedAt.IsZero() {
		a.CreatedAt = s.now()
	}
	if i := slices.IndexFunc(s.assets, func(x Asset) bool { return x.ID == a.ID }); i >= 0 {
		s.assets[i] = a
		return
	}
	s.assets = slices.Insert(s.assets, 0, a)
}

// RemoveAsset takes an asset and its links away.
func (s *Sim) RemoveAsset(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assets = slices.DeleteFunc(s.assets, func(a Asset) bool { return a.ID == id })
	s.links = slices.DeleteFunc(s.links, func(l Link) bool { return l.Source == id || l.Target == id })
}

// AddLink adds to the attack graph.
func (s *Sim) AddLink(l Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = append(s.links, l)
}

// Scan ends a scan.
func (s *Sim) Scan() {
	s.mu.Lock()
	id := s.id("scn")
	s.mu.Unlock()
	s.tell("scan.completed", map[string]any{"scan_id": id, "completed_at": s.now()})
}

// tell sends an event over the sockets and to the webhooks, to each what the
// document says it is sent.
func (s *Sim) tell(kind string, data any) {
	s.mu.Lock()
	id := s.id("evt")
	hooks := slices.Clone(s.hooks)
	s.mu.Unlock()
	body := Event(id, kind, s.Now(), data)
	if kind != "compliance.drift" {
		s.sockets.send(s, body)
	}
	if kind != "compliance.score_changed" {
		s.outbox.add(s, hooks, kind, body)
	}
}
