package edgetelemetry

import (
	"cmp"
	"fmt"
	"slices"
)

var severities = []string{"critical", "high", "medium", "low"}

// Add adds n items: alerts, incidents, summaries and audit entries, in turn.
// It gives the ids of the alerts and incidents.
func (s *Sim) Add(n int) (alerts, incidents []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		node := s.nodes[i%len(s.nodes)]
		severity := severities[s.IntN(len(severities))]
		switch i % 20 {
		case 5, 6, 12, 13, 18:
			incidents = append(incidents, s.addIncident(Incident{Severity: severity, NodeID: node.ID}).ID)
		case 7:
			s.addSummary(Summary{AgentID: fmt.Sprintf("agent-%d", s.IntN(5)), Anomalies: s.IntN(3)})
		case 19:
			s.log(Entry{Action: []string{"delete_user", "view_incident", "export_audit_logs"}[s.IntN(3)], UserEmail: "dana@example.com", Status: 200})
		default:
			alerts = append(alerts, s.addAlert(Alert{Severity: severity, Context: map[string]any{"node_id": node.ID, "risk_score": 70 + s.IntN(31)}}).ID)
		}
	}
	return alerts, incidents
}

// AddAlert adds an alert; what is not given is filled in.
func (s *Sim) AddAlert(a Alert) Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.addAlert(a)
}

func (s *Sim) addAlert(a Alert) *Alert {
	a.ID = cmp.Or(a.ID, s.id())
	a.RuleID, a.Status, a.Severity = cmp.Or(a.RuleID, s.rules[0].ID), cmp.Or(a.Status, "fired"), cmp.Or(a.Severity, "high")
	a.Title, a.Desc = cmp.Or(a.Title, "High Risk Score Detected"), cmp.Or(a.Desc, "Identity user123 has risk score of 85")
	if a.Context == nil {
		a.Context = map[string]any{}
	}
	if a.CreatedAt.IsZero() {
		a.CreatedAt = s.now()
	}
	s.alerts = append(s.alerts, &a)
	return &a
}

// AddIncident adds an incident; what is not given is filled in.
func (s *Sim) AddIncident(x Incident) Incident {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.addIncident(x)
}

func (s *Sim) addIncident(x Incident) *Incident {
	x.ID, x.Status, x.Severity = cmp.Or(x.ID, s.id()), cmp.Or(x.Status, "open"), cmp.Or(x.Severity, "high")
	x.Title, x.Desc = cmp.Or(x.Title, "Unusual access"), cmp.Or(x.Desc, "An identity reaches what it never did")
	if x.CreatedAt.IsZero() {
		x.CreatedAt = s.now()
	}
	if x.UpdatedAt.IsZero() {
		x.UpdatedAt = x.CreatedAt
	}
	s.incidents = append(s.incidents, &x)
	return &x
}

// AddSummary adds a summary; what is not given is filled in.
func (s *Sim) AddSummary(x Summary) Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.addSummary(x)
}

func (s *Sim) addSummary(x Summary) *Summary {
	x.ID, x.AgentID, x.Events = cmp.Or(x.ID, s.id()), cmp.Or(x.AgentID, "agent-0"), cmp.Or(x.Events, 1200)
	x.Text = cmp.Or(x.Text, fmt.Sprintf("%d events, %d of them out of the ordinary", x.Events, x.Anomalies))
	if x.CreatedAt.IsZero() {
		x.CreatedAt = s.now()
	}
	s.received++
	s.summaries = append(s.summaries, &x)
	return &x
}

// SetAlert changes an alert as a person does there; an empty text leaves it.
func (s *Sim) SetAlert(id, status, severity string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.alert(id)
	if a == nil {
		return false
	}
	a.Status, a.Severity = cmp.Or(status, a.Status), cmp.Or(severity, a.Severity)
	return true
}

func (s *Sim) alert(id string) *Alert {
	i := slices.IndexFunc(s.alerts, func(a *Alert) bool { return a.ID == id })
	if i < 0 {
		return nil
	}
	return s.alerts[i]
}

// SetIncident changes an incident.
func (s *Sim) SetIncident(id, status, severity string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.incident(id)
	if x == nil {
		return false
	}
	x.Status, x.Severity, x.UpdatedAt = cmp.Or(status, x.Status), cmp.Or(severity, x.Severity), s.now()
	return true
}

func (s *Sim) incident(id string) *Incident {
	i := slices.IndexFunc(s.incidents, func(x *Incident) bool { return x.ID == id })
	if i < 0 {
		return nil
	}
	return s.incidents[i]
}

func values[T any](all []*T) []T {
	out := make([]T, len(all))
	for i, p := range all {
		out[i] = *p
	}
	return out
}

// Alerts gives every alert, oldest first.
func (s *Sim) Alerts() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return values(s.alerts)
}

// Incidents gives every incident, oldest first.
func (s *Sim) Incidents() []Incident {
	s.mu.Lock()
	defer s.mu.Unlock()
	return values(s.incidents)
}

// SummaryList gives every summary, oldest first.
func (s *Sim) SummaryList() []Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	return values(s.summaries)
}

// Audit gives the audit log, oldest first.
func (s *Sim) Audit() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return values(s.audit)
}

// Nodes gives the graph's nodes.
func (s *Sim) Nodes() []Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nodes)
}

// RemoveNode takes a node and its edges out of the graph.
func (s *Sim) RemoveNode(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = slices.DeleteFunc(s.nodes, func(n Node) bool { return n.ID == id })
	s.edges = slices.DeleteFunc(s.edges, func(e Edge) bool { return e.Source == id || e.Target == id })
}

// Connect adds an edge.
func (s *Sim) Connect(from, to, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.edges = append(s.edges, Edge{ID: s.id(), Source: from, Target: to, Type: kind})
}
