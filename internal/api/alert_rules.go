package api

import (
	"context"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/page"
)

// AlertRules say which channels are told of which alerts, and how often.
type AlertRules interface {
	List(ctx context.Context, t hub.TenantID, pg page.Request) (List[*hub.AlertRule], error)
	Rule(ctx context.Context, t hub.TenantID, id hub.RuleID) (*hub.AlertRule, error)
	// Create fills in the id.
	Create(ctx context.Context, p hub.Principal, r *hub.AlertRule, idem Idempotency) error
	// Update runs change on the rule and stores it if its checks hold.
	Update(ctx context.Context, p hub.Principal, id hub.RuleID, ifMatch int64, change func(*hub.AlertRule) error) (*hub.AlertRule, error)
	Delete(ctx context.Context, p hub.Principal, id hub.RuleID) error
}

// ruleBody is an alert rule as it is made or changed. Pointers tell what was given.
type ruleBody struct {
	Name        *string `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Description *string `json:"description,omitempty" maxLength:"2000"`
	Enabled     *bool   `json:"enabled,omitempty"`

	ConditionType     *string   `json:"condition_type,omitempty" enum:"risk_score_threshold,severity_threshold,scenario,expression" doc:"Which of the fields below counts; the others are kept. risk_score_threshold if not given"`
	RiskScoreMin      *float64  `json:"risk_score_min,omitempty" minimum:"0" maximum:"100" doc:"Fires when an alert's risk score is at least this"`
	MinSRS            *float64  `json:"min_srs,omitempty" minimum:"0" maximum:"100" doc:"Fires when the security risk score of an account falls below this; 40 if not given"`
	SeverityThreshold *string   `json:"severity_threshold,omitempty" enum:"critical,high,medium,low,info" doc:"Fires for alerts of this severity or worse"`
	Scenarios         *[]string `json:"scenarios,omitempty" maxItems:"100" doc:"Fires for alerts of these types or scenarios; none: all"`
	Expression        *string   `json:"expression,omitempty" maxLength:"4096" doc:"Fires when this is true of event and alert"`

	CooldownMinutes  *int          `json:"cooldown_minutes,omitempty" minimum:"0" maximum:"10080" doc:"After a message; what comes meanwhile is told of in one message then"`
	MaxAlertsPerHour *int          `json:"max_alerts_per_hour,omitempty" minimum:"0" maximum:"1000" doc:"Messages in any hour; 0 for no limit"`
	Schedule         *scheduleBody `json:"schedule,omitempty" doc:"When it tells; without windows: always"`
	ChannelIDs       *[]string     `json:"channel_ids,omitempty" maxItems:"50" doc:"Channels or webhook endpoints"`
}

type scheduleBody struct {
	TimeZone string           `json:"timezone,omitempty" doc:"Such as Europe/Berlin; UTC if not given"`
	Windows  []hub.RuleWindow `json:"windows,omitempty" maxItems:"50"`
	Outside  string           `json:"outside,omitempty" enum:"hold,skip" doc:"What becomes of alerts at other times: hold tells of them when the next window opens, skip only counts them"`
}

// apply puts what was given into r.
func (b *ruleBody) apply(r *hub.AlertRule) error {
	set(&r.Name, b.Name)
	set(&r.Description, b.Description)
	set(&r.Enabled, b.Enabled)
	set(&r.ConditionType, b.ConditionType)
	if b.RiskScoreMin != nil {
		r.RiskScoreMin = b.RiskScoreMin
	}
	set(&r.MinSRS, b.MinSRS)
	if b.SeverityThreshold != nil {
		r.SeverityThreshold = hub.Severity(*b.SeverityThreshold)
	}
	set(&r.Scenarios, b.Scenarios)
	set(&r.Expression, b.Expression)
	set(&r.CooldownMinutes, b.CooldownMinutes)
	set(&r.MaxAlertsPerHour, b.MaxAlertsPerHour)
	if s := b.Schedule; s != nil {
		r.Schedule = nil
		if len(s.Windows) > 0 || s.TimeZone != "" || s.Outside != "" {
			r.Schedule = &hub.RuleSchedule{TimeZone: s.TimeZone, Windows: s.Windows, Outside: s.Outside}
		}
	}
	if b.ChannelIDs != nil {
		r.ChannelIDs = make([]hub.EndpointID, len(*b.ChannelIDs))
		for i, id := range *b.ChannelIDs {
			r.ChannelIDs[i] = hub.EndpointID(id)
		}
	}
	return nil
}

type ruleOutput struct {
	ETag string `header:"ETag"`
	Body *hub.AlertRule
}

func ruleAnswer(r *hub.AlertRule, err error) (*ruleOutput, error) {
	if err != nil {
		return nil, err
	}
	return &ruleOutput{etag(r.Version), ruleShown(r)}, nil
}

// ruleShown leaves out what only the hub needs.
func ruleShown(r *hub.AlertRule) *hub.AlertRule {
	out := *r
	if out.Scenarios == nil {
		out.Scenarios = []string{}
	}
	if out.ChannelIDs == nil {
		out.ChannelIDs = []hub.EndpointID{}
	}
	if out.State != nil {
		state := *out.State
		state.Recent = nil
		out.State = &state
	}
	return &out
}

// RuleID is the path parameter of an alert rule.
type RuleID struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) alertRuleRoutes() {
	const tag = "alert rules"
	register(s, operation{method: "GET", path: "/alert-rules", permission: "alert_rules:read", summary: "List alert rules", tag: tag},
		func(ctx context.Context, p hub.Principal, in *PageParams) (*listOutput[*hub.AlertRule], error) {
			pg, err := in.parse()
			if err != nil {
				return nil, err
			}
			l, err := s.deps.AlertRules.List(ctx, p.Tenant, pg)
			for i, r := range l.Data {
				l.Data[i] = ruleShown(r)
			}
			return listOf(l, err)
		})
	register(s, operation{method: "POST", path: "/alert-rules", permission: "alert_rules:create", summary: "Make an alert rule", status: 201, tag: tag}, s.createRule)
	register(s, operation{method: "GET", path: "/alert-rules/{id}", permission: "alert_rules:read", summary: "Show an alert rule with what it has done and holds back", tag: tag},
		func(ctx context.Context, p hub.Principal, in *RuleID) (*ruleOutput, error) {
			return ruleAnswer(s.deps.AlertRules.Rule(ctx, p.Tenant, hub.RuleID(in.ID)))
		})
	register(s, operation{method: "PATCH", path: "/alert-rules/{id}", permission: "alert_rules:update", summary: "Change an alert rule", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			RuleID
			IfMatch string `header:"If-Match"`
			Body    ruleBody
		},
		) (*ruleOutput, error) {
			version, err := parseVersion(in.IfMatch)
			if err != nil {
				return nil, err
			}
			return ruleAnswer(s.deps.AlertRules.Update(ctx, p, hub.RuleID(in.ID), version, in.Body.apply))
		})
	register(s, operation{method: "DELETE", path: "/alert-rules/{id}", permission: "alert_rules:delete", summary: "Remove an alert rule", status: 204, tag: tag},
		func(ctx context.Context, p hub.Principal, in *RuleID) (*struct{}, error) {
			return &struct{}{}, s.deps.AlertRules.Delete(ctx, p, hub.RuleID(in.ID))
		})
	register(s, operation{method: "POST", path: "/alert-rules/{id}/toggle", permission: "alert_rules:update", summary: "Switch an alert rule on or off", tag: tag}, s.toggleRule)
}

func (s *Server) createRule(ctx context.Context, p hub.Principal, in *struct {
	IdemHeader
	Body ruleBody
},
) (*ruleOutput, error) {
	r := &hub.AlertRule{Tenant: p.Tenant, Enabled: true, ConditionType: hub.ConditionRisk, MinSRS: hub.DefaultMinSRS}
	if in.Body.Name == nil {
		return nil, &hub.Error{Kind: hub.Invalid, Msg: "name is required", Fields: []hub.Field{{Pointer: "/name", Detail: "is required: 1 to 200 characters"}}}
	}
	if err := in.Body.apply(r); err != nil {
		return nil, err
	}
	err := s.deps.AlertRules.Create(ctx, p, r, in.key(p, 201, in.Body, func(v any) any { return ruleShown(v.(*hub.AlertRule)) }))
	var again *Remembered
	if errors.As(err, &again) {
		first := new(hub.AlertRule)
		if err := json.Unmarshal(again.Body, first); err != nil {
			return nil, err
		}
		return ruleAnswer(first, nil)
	}
	return ruleAnswer(r, err)
}

// toggleRule turns a rule round, or does what the body asks for.
func (s *Server) toggleRule(ctx context.Context, p hub.Principal, in *struct {
	RuleID
	Body *struct {
		Enabled *bool `json:"enabled,omitempty" doc:"Turned round if not given"`
	}
},
) (*ruleOutput, error) {
	return ruleAnswer(s.deps.AlertRules.Update(ctx, p, hub.RuleID(in.ID), 0, func(r *hub.AlertRule) error {
		r.Enabled = !r.Enabled
		if in.Body != nil && in.Body.Enabled != nil {
			r.Enabled = *in.Body.Enabled
		}
		return nil
	}))
}
