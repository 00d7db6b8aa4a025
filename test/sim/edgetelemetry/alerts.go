package edgetelemetry

import (
	"net/http"
	"slices"
	"strings"
)

// A Rule is an alert rule.
type Rule struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Desc      string  `json:"description"`
	Active    bool    `json:"is_active"`
	Condition string  `json:"condition_type"`
	RiskMin   float64 `json:"risk_score_min"`
	Cooldown  int     `json:"cooldown_minutes"`
	PerHour   int     `json:"max_alerts_per_hour"`

	channels []string // ids
}

// A Channel is where alerts are told.
type Channel struct {
	ID     string         `json:"id"`
	Name   string         `json:"name"`
	Type   string         `json:"channel_type"`
	Config map[string]any `json:"config"`
	Active bool           `json:"is_active"`
}

// Rules gives every alert rule.
func (s *Sim) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	return values(s.rules)
}

// Channels gives every channel.
func (s *Sim) Channels() []Channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return values(s.channels)
}

// withChannels is a rule as the document shows it.
func (s *Sim) withChannels(x *Rule) map[string]any {
	channels := []map[string]string{}
	for _, c := range s.channels {
		if slices.Contains(x.channels, c.ID) {
			channels = append(channels, map[string]string{"id": c.ID, "name": c.Name, "channel_type": c.Type})
		}
	}
	return map[string]any{"rule": x, "channels": channels}
}

func (s *Sim) listRules(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []any{}
	for _, x := range s.rules {
		out = append(out, s.withChannels(x))
	}
	give(w, 200, out)
}

func (s *Sim) createRule(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name              string
		Description       string
		ConditionType     string         `json:"condition_type"`
		ConditionConfig   map[string]any `json:"condition_config"`
		RiskScoreMin      *float64       `json:"risk_score_min"`
		SeverityThreshold string         `json:"severity_threshold"`
		CooldownMinutes   int            `json:"cooldown_minutes"`
		MaxAlertsPerHour  int            `json:"max_alerts_per_hour"`
		ScheduleEnabled   bool           `json:"schedule_enabled"`
		ScheduleConfig    map[string]any `json:"schedule_config"`
		ChannelIDs        []string       `json:"channel_ids"`
	}
	if !s.body(w, r, &in) {
		return
	}
	x := &Rule{Name: in.Name, Desc: in.Description, Active: true, Condition: in.ConditionType, Cooldown: in.CooldownMinutes, PerHour: in.MaxAlertsPerHour, channels: in.ChannelIDs}
	if in.RiskScoreMin != nil {
		x.RiskMin = *in.RiskScoreMin
	}
	if in.Name == "" || in.ConditionType == "" || x.RiskMin < 0 || x.RiskMin > 100 || in.CooldownMinutes < 0 || in.MaxAlertsPerHour < 0 ||
		in.SeverityThreshold != "" && !slices.Contains(severities, in.SeverityThreshold) {
		s.wrong(w, r, 422, "name and condition_type are required; numbers and severity_threshold have bounds")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range in.ChannelIDs {
		if !slices.ContainsFunc(s.channels, func(c *Channel) bool { return c.ID == id }) {
			refuse(w, 422, "there is no channel "+strings.ToValidUTF8(id, "?"))
			return
		}
	}
	x.ID = s.id()
	s.rules = append(s.rules, x)
	s.act(r, "create_alert_rule", "alert_rules", x.ID)
	give(w, 201, s.withChannels(x))
}

// ruleAt gives the rule that the path names; it has answered if it gives nil.
func (s *Sim) ruleAt(w http.ResponseWriter, r *http.Request) *Rule {
	i := slices.IndexFunc(s.rules, func(x *Rule) bool { return x.ID == r.PathValue("id") })
	if i < 0 {
		refuse(w, 404, "alert rule")
		return nil
	}
	return s.rules[i]
}

func (s *Sim) getRule(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.ruleAt(w, r); x != nil {
		give(w, 200, s.withChannels(x))
	}
}

func (s *Sim) deleteRule(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.ruleAt(w, r); x != nil {
		s.rules = slices.DeleteFunc(s.rules, func(o *Rule) bool { return o == x })
		s.act(r, "delete_alert_rule", "alert_rules", x.ID)
		give(w, 200, nil)
	}
}

func (s *Sim) toggleRule(w http.ResponseWriter, r *http.Request) {
	if !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.ruleAt(w, r); x != nil {
		x.Active = !x.Active
		s.act(r, "toggle_alert_rule", "alert_rules", x.ID)
		give(w, 200, s.withChannels(x))
	}
}

func (s *Sim) listChannels(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	give(w, 200, s.channels)
}

func (s *Sim) createChannel(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name   string
		Type   string `json:"channel_type"`
		Config map[string]any
	}
	if !s.body(w, r, &in) {
		return
	}
	if in.Name == "" || in.Type == "" || len(in.Config) == 0 {
		s.wrong(w, r, 422, "name, channel_type and config are required")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Channel{ID: s.id(), Name: in.Name, Type: in.Type, Config: in.Config, Active: true}
	s.channels = append(s.channels, c)
	s.act(r, "create_alert_channel", "alert_channels", c.ID)
	give(w, 201, c)
}

func (s *Sim) testChannel(w http.ResponseWriter, r *http.Request) {
	if !s.empty(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.channels, func(c *Channel) bool { return c.ID == r.PathValue("id") }) {
		refuse(w, 404, "alert channel")
		return
	}
	give(w, 200, map[string]bool{"sent": true})
}

// list answers with the newest of all that suit, as many as the limit says.
func list[T any](s *Sim, w http.ResponseWriter, r *http.Request, all []*T, missing int, suits func(*T) bool) {
	limit, ok := s.number(w, r, "limit", missing, 1)
	if !ok {
		return
	}
	if s.options.MaxLimit > 0 {
		limit = min(limit, s.options.MaxLimit)
	}
	out := []*T{}
	for i := len(all) - 1; i >= 0 && (len(out) < limit || s.options.Unordered); i-- {
		if suits(all[i]) {
			out = append(out, all[i])
		}
	}
	if s.options.Unordered { // before the cut: what is left out is no older than the rest
		for i := range out {
			j := s.IntN(i + 1)
			out[i], out[j] = out[j], out[i]
		}
		out = out[:min(limit, len(out))]
	}
	give(w, 200, out)
}

var alertStatuses = []string{"fired", "acknowledged", "resolved"}

func (s *Sim) listAlerts(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "status", "limit") {
		return
	}
	status := r.URL.Query().Get("status")
	if status != "" && !slices.Contains(alertStatuses, status) {
		s.wrong(w, r, 422, "status must be fired, acknowledged or resolved")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list(s, w, r, s.alerts, 100, func(a *Alert) bool { return status == "" || a.Status == status })
}

// move acknowledges or resolves an alert.
func (s *Sim) move(status string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.empty(w, r) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		a := s.alert(r.PathValue("id"))
		switch {
		case a == nil:
			refuse(w, 404, "alert")
		case a.Status == status || a.Status == "resolved":
			refuse(w, 400, "alert is already "+a.Status)
		default:
			a.Status = status
			s.act(r, map[string]string{"acknowledged": "acknowledge_alert", "resolved": "resolve_alert"}[status], "alerts", a.ID)
			give(w, 200, a)
		}
	}
}

func (s *Sim) listIncidents(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r, "status", "limit") {
		return
	}
	status := r.URL.Query().Get("status")
	s.mu.Lock()
	defer s.mu.Unlock()
	list(s, w, r, s.incidents, 100, func(x *Incident) bool { return status == "" || x.Status == status })
}

func (s *Sim) dashboardIncidents(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list(s, w, r, s.incidents, 10, func(*Incident) bool { return true })
}

func (s *Sim) getIncident(w http.ResponseWriter, r *http.Request) {
	if !s.query(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.incident(r.PathValue("id"))
	if x == nil {
		refuse(w, 404, "incident")
		return
	}
	alerts := []string{}
	for _, a := range s.alerts {
		if a.IncidentID != nil && *a.IncidentID == x.ID {
			alerts = append(alerts, a.ID)
		}
	}
	s.act(r, "view_incident", "incidents", x.ID)
	give(w, 200, map[string]any{
		"id": x.ID, "title": x.Title, "description": x.Desc, "severity": x.Severity, "status": x.Status, "risk_score": x.RiskScore, "node_id": x.NodeID,
		"created_at": x.CreatedAt, "updated_at": x.UpdatedAt, "alert_ids": alerts, "affected_nodes": []string{x.NodeID},
	})
}
