package api

import (
	"context"

	"github.com/tocsin/tocsin/hub"
)

// humaRoutes are the routes of the control plane, a function a resource.
func (s *Server) humaRoutes() {
	s.findingRoutes()
	s.alertRoutes()
	s.assetRoutes()
	s.webhookRoutes()
	s.channelRoutes()
	s.alertRuleRoutes()
	s.approvalRoutes()
	s.deliveryRoutes()
	s.auditRoutes()
	s.keyRoutes()
	s.connectorRoutes()
	s.statusRoutes()
	s.documentPlainRoutes()
}

func (s *Server) statusRoutes() {
	register(s, operation{method: "GET", path: "/status", permission: "alerts:read", summary: "Status, threat level and active alerts", tag: "status"},
		func(ctx context.Context, p hub.Principal, _ *struct{}) (*struct{ Body any }, error) {
			v, err := s.deps.Health.Status(ctx, p.Tenant)
			return &struct{ Body any }{v}, err
		})
	register(s, operation{method: "GET", path: "/dashboard/metrics", permission: "alerts:read", summary: "Counts, data reduction and deliveries by state", tag: "status"},
		func(ctx context.Context, p hub.Principal, _ *struct{}) (*struct{ Body any }, error) {
			v, err := s.deps.Health.Dashboard(ctx, p.Tenant)
			return &struct{ Body any }{v}, err
		})
}

func (s *Server) connectorRoutes() {
	const tag = "connectors"
	register(s, operation{method: "GET", path: "/connectors", permission: "connectors:read", summary: "List the sources and how they do", tag: tag},
		func(ctx context.Context, p hub.Principal, _ *struct{}) (*listOutput[ConnectorState], error) {
			all, err := s.deps.Connectors.List(ctx, p.Tenant)
			return listOf(List[ConnectorState]{Data: all}, err)
		})
	register(s, operation{method: "GET", path: "/connectors/{name}/rejected", permission: "connectors:read", summary: "List the newest items of a source that could not be used", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			Name string `path:"name" maxLength:"100"`
		},
		) (*listOutput[RejectedItem], error) {
			all, err := s.deps.Connectors.Rejected(ctx, p.Tenant, in.Name)
			return listOf(List[RejectedItem]{Data: all}, err)
		})
	for _, action := range []string{"sync", "pause", "resume", "test"} {
		register(s, operation{method: "POST", path: "/connectors/{name}/" + action, permission: "connectors:update", summary: "Do " + action + " with a source", tag: tag},
			func(ctx context.Context, p hub.Principal, in *struct {
				Name string `path:"name" maxLength:"100"`
			},
			) (*struct{ Body ConnectorState }, error) {
				st, err := s.deps.Connectors.Do(ctx, p, in.Name, action)
				return &struct{ Body ConnectorState }{st}, err
			})
	}
}
