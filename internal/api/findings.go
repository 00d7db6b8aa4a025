package api

import (
	"context"

	"github.com/tocsin/tocsin/hub"
)

// FindingFilter are the query parameters that choose findings.
type FindingFilter struct {
	Severity string `query:"severity"`
	Type     string `query:"type"`
	Source   string `query:"source"`
	AssetID  string `query:"asset_id"`
	Outcome  string `query:"outcome" doc:"created, merged, reopened, resolved, suppressed, duplicate, late"`
	AlertID  string `query:"alert_id"`
}

func (s *Server) findingRoutes() {
	const tag = "findings"
	register(s, operation{method: "GET", path: "/findings", permission: "findings:read", summary: "List triaged findings, newest first", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			PageParams
			FindingFilter
		},
		) (*listOutput[FindingView], error) {
			pg, err := in.PageParams.parse()
			if err != nil {
				return nil, err
			}
			f := &in.FindingFilter
			return listOf(s.deps.Findings.List(ctx, p.Tenant, FindingQuery{
				Severity: words(f.Severity), Type: words(f.Type), Source: words(f.Source), AssetID: words(f.AssetID),
				Outcome: words(f.Outcome), Alert: hub.AlertID(f.AlertID),
			}, pg))
		})
	register(s, operation{method: "GET", path: "/findings/{id}", permission: "findings:read", summary: "Show a finding as received and as normalised, and its alert", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{ Body *FindingView }, error) {
			v, err := s.deps.Findings.Finding(ctx, p.Tenant, hub.FindingID(in.ID))
			return &struct{ Body *FindingView }{v}, err
		})
}
