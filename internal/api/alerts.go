package api

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// AlertFilter are the query parameters that choose alerts.
type AlertFilter struct {
	Severity string `query:"severity" doc:"critical, high, medium, low, info; several by comma"`
	Status   string `query:"status" doc:"open, investigating, resolved, dismissed; several by comma"`
	Type     string `query:"type"`
	Source   string `query:"source" doc:"Any of the alert's sources"`
	AssetID  string `query:"asset_id"`
	Account  string `query:"account"`
	Assignee string `query:"assignee"`
	Label    string `query:"label" doc:"name=value; several by comma, all must be there"`
	Q        string `query:"q" doc:"Words in title, description, asset or id"`
	Since    string `query:"since" doc:"Changed at or after, RFC 3339"`
	Until    string `query:"until" doc:"Changed before, RFC 3339"`
	MinRisk  string `query:"min_risk" doc:"Risk score at least, 0–100"`
}

func (f *AlertFilter) parse() (*hub.AlertFilter, error) {
	out := &hub.AlertFilter{
		Severity: words(f.Severity), Status: words(f.Status), Type: words(f.Type), Source: words(f.Source),
		AssetID: words(f.AssetID), Account: words(f.Account), Assignee: words(f.Assignee), Query: f.Q,
	}
	for _, s := range out.Severity {
		if !hub.Severity(s).Valid() {
			return nil, hub.E(hub.Malformed, "severity must be of critical, high, medium, low, info")
		}
	}
	for _, s := range out.Status {
		if !validStatus(hub.AlertStatus(s)) {
			return nil, hub.E(hub.Malformed, "status must be of open, investigating, resolved, dismissed")
		}
	}
	var err error
	if out.Since, err = parseTime("since", f.Since); err != nil {
		return nil, err
	}
	if out.Until, err = parseTime("until", f.Until); err != nil {
		return nil, err
	}
	if out.MinRisk, err = parseNumber("min_risk", f.MinRisk); err != nil {
		return nil, err
	}
	for _, l := range words(f.Label) {
		name, value, found := strings.Cut(l, "=")
		if !found {
			return nil, hub.E(hub.Malformed, "label must be name=value")
		}
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		out.Labels[name] = value
	}
	return out, nil
}

func validStatus(s hub.AlertStatus) bool {
	switch s {
	case hub.AlertOpen, hub.AlertInvestigating, hub.AlertResolved, hub.AlertDismissed:
		return true
	}
	return false
}

func parseTime(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, hub.E(hub.Malformed, name+" must be a time such as 2025-06-14T08:22:14Z")
	}
	return hub.Truncate(t), nil
}

type alertOutput struct {
	ETag string `header:"ETag"`
	Body *hub.Alert
}

func alertAnswer(ctx context.Context, a *hub.Alert, err error) (*alertOutput, error) {
	if err != nil {
		a = new(hub.Alert)
		if err := replayed(ctx, err, a); err != nil {
			return nil, err
		}
	}
	return &alertOutput{etag(a.Version), a}, nil
}

func (s *Server) alertRoutes() {
	const tag = "alerts"
	register(s, operation{method: "GET", path: "/alerts", permission: "alerts:read", summary: "List alerts, the last changed first", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			PageParams
			AlertFilter
		},
		) (*listOutput[*hub.Alert], error) {
			f, err := in.AlertFilter.parse()
			if err != nil {
				return nil, err
			}
			pg, err := in.PageParams.parse()
			if err != nil {
				return nil, err
			}
			return listOf(s.deps.Alerts.List(ctx, p.Tenant, f, pg))
		})
	register(s, operation{method: "GET", path: "/alerts/count", permission: "alerts:read", summary: "Count alerts by severity", tag: tag}, s.countAlerts)
	register(s, operation{method: "GET", path: "/alerts/{id}", permission: "alerts:read", summary: "Show an alert with its timeline and findings", tag: tag}, s.getAlert)
	register(s, operation{method: "PATCH", path: "/alerts/{id}", permission: "alerts:update", summary: "Change an alert", tag: tag}, s.patchAlert)
	register(s, operation{method: "POST", path: "/alerts/bulk", permission: "alerts:update", summary: "Act on many alerts", tag: tag}, s.bulkAlerts)
	for _, kind := range []string{"acknowledge", "resolve", "dismiss", "reopen"} {
		register(s, operation{method: "POST", path: "/alerts/{id}/" + kind, permission: "alerts:update", summary: strings.ToUpper(kind[:1]) + kind[1:] + " an alert", tag: tag},
			func(ctx context.Context, p hub.Principal, in *actInput) (*alertOutput, error) {
				return s.act(ctx, p, kind, in)
			})
	}
}

type countBody struct {
	Critical int64 `json:"critical"`
	High     int64 `json:"high"`
	Medium   int64 `json:"medium"`
	Low      int64 `json:"low"`
	Info     int64 `json:"info"`
	Total    int64 `json:"total"`
}

func (s *Server) countAlerts(ctx context.Context, p hub.Principal, in *AlertFilter) (*struct{ Body countBody }, error) {
	f, err := in.parse()
	if err != nil {
		return nil, err
	}
	n, err := s.deps.Alerts.Count(ctx, p.Tenant, f)
	if err != nil {
		return nil, err
	}
	b := countBody{Critical: n[hub.Critical], High: n[hub.High], Medium: n[hub.Medium], Low: n[hub.Low], Info: n[hub.Info]}
	b.Total = b.Critical + b.High + b.Medium + b.Low + b.Info
	return &struct{ Body countBody }{b}, nil
}

// AlertID is the path parameter of an alert. It is exported, as the other
// embedded inputs are, because huma passes over fields that are not.
type AlertID struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) getAlert(ctx context.Context, p hub.Principal, in *AlertID) (*struct {
	ETag string `header:"ETag"`
	Body *AlertView
}, error,
) {
	v, err := s.deps.Alerts.Alert(ctx, p.Tenant, hub.AlertID(in.ID))
	if err != nil {
		return nil, err
	}
	return &struct {
		ETag string `header:"ETag"`
		Body *AlertView
	}{etag(v.Version), v}, nil
}

type noteBody struct {
	Note string `json:"note,omitempty" maxLength:"10000" doc:"Why, for the timeline"`
}

type actInput struct {
	AlertID
	IdemHeader
	IfMatch string `header:"If-Match" doc:"Refuse unless the alert has this version"`
	Body    *noteBody
}

func (s *Server) act(ctx context.Context, p hub.Principal, kind string, in *actInput) (*alertOutput, error) {
	version, err := parseVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	action := AlertAction{Kind: kind}
	if in.Body != nil {
		action.Note = in.Body.Note
	}
	a, err := s.deps.Alerts.Act(ctx, p, hub.AlertID(in.ID), action, version, in.key(p, 200, action, same))
	return alertAnswer(ctx, a, err)
}

type patchBody struct {
	Status   *hub.AlertStatus   `json:"status,omitempty" enum:"open,investigating,resolved,dismissed"`
	Assignee *string            `json:"assignee,omitempty" maxLength:"320" doc:"Empty takes the assignee away"`
	Severity *hub.Severity      `json:"severity,omitempty" enum:"critical,high,medium,low,info"`
	Note     string             `json:"note,omitempty" maxLength:"10000"`
	Labels   map[string]*string `json:"labels,omitempty" doc:"Labels to set; null removes one"`
}

type patchInput struct {
	AlertID
	IfMatch string `header:"If-Match" doc:"Refuse unless the alert has this version"`
	Body    patchBody
}

func (s *Server) patchAlert(ctx context.Context, p hub.Principal, in *patchInput) (*alertOutput, error) {
	version, err := parseVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	b := in.Body
	a, err := s.deps.Alerts.Act(ctx, p, hub.AlertID(in.ID),
		AlertAction{Kind: "update", Status: b.Status, Assignee: b.Assignee, Severity: b.Severity, Note: b.Note, Labels: b.Labels}, version, Idempotency{})
	return alertAnswer(ctx, a, err)
}

type bulkBody struct {
	Action   string        `json:"action" enum:"acknowledge,resolve,dismiss,reopen,update"`
	IDs      []hub.AlertID `json:"ids,omitempty" maxItems:"10000"`
	Filter   *bulkFilter   `json:"filter,omitempty"`
	Note     string        `json:"note,omitempty" maxLength:"10000"`
	Assignee *string       `json:"assignee,omitempty" maxLength:"320"`
	Severity *hub.Severity `json:"severity,omitempty" enum:"critical,high,medium,low,info"`
}

// bulkFilter is AlertFilter in a body.
type bulkFilter struct {
	Severity string `json:"severity,omitempty"`
	Status   string `json:"status,omitempty"`
	Type     string `json:"type,omitempty"`
	Source   string `json:"source,omitempty"`
	AssetID  string `json:"asset_id,omitempty"`
	Account  string `json:"account,omitempty"`
	Assignee string `json:"assignee,omitempty"`
	Label    string `json:"label,omitempty"`
	Q        string `json:"q,omitempty"`
	Since    string `json:"since,omitempty"`
	Until    string `json:"until,omitempty"`
	MinRisk  string `json:"min_risk,omitempty"`
}

func (s *Server) bulkAlerts(ctx context.Context, p hub.Principal, in *struct {
	IdemHeader
	Body bulkBody
},
) (*struct{ Body BulkResult }, error) {
	b := in.Body
	if (len(b.IDs) == 0) == (b.Filter == nil) {
		return nil, &hub.Error{Kind: hub.Invalid, Msg: "give either ids or filter", Fields: []hub.Field{{Pointer: "/ids", Detail: "give either ids or filter"}}}
	}
	action := BulkAction{IDs: b.IDs, Action: AlertAction{Kind: b.Action, Note: b.Note, Assignee: b.Assignee, Severity: b.Severity}}
	if b.Filter != nil {
		f, err := (*AlertFilter)(&AlertFilter{
			b.Filter.Severity, b.Filter.Status, b.Filter.Type, b.Filter.Source, b.Filter.AssetID, b.Filter.Account,
			b.Filter.Assignee, b.Filter.Label, b.Filter.Q, b.Filter.Since, b.Filter.Until, b.Filter.MinRisk,
		}).parse()
		if err != nil {
			return nil, err
		}
		action.Filter = f
	}
	r, err := s.deps.Alerts.Bulk(ctx, p, action, in.key(p, 200, b, same))
	if err != nil {
		if err := replayed(ctx, err, &r); err != nil {
			return nil, err
		}
	}
	return &struct{ Body BulkResult }{r}, nil
}

func parseNumber(name, s string) (*float64, error) {
	if s == "" {
		return nil, nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) {
		return nil, hub.E(hub.Malformed, name+" must be a number")
	}
	return &n, nil
}
