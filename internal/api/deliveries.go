package api

import (
	"context"

	"github.com/tocsin/tocsin/hub"
)

// DeliveryFilter are the query parameters that choose deliveries.
type DeliveryFilter struct {
	State   string `query:"state" doc:"pending, delivering, succeeded, retrying, held, dead; several by comma"`
	Kind    string `query:"kind" doc:"webhook, slack, pagerduty …; several by comma"`
	EventID string `query:"event_id"`
	Subject string `query:"subject" doc:"The id of the alert or other object"`
}

func (f *DeliveryFilter) query(endpoint string) DeliveryQuery {
	return DeliveryQuery{
		Endpoint: hub.EndpointID(endpoint), State: words(f.State), Kind: words(f.Kind), EventID: hub.EventID(f.EventID), Subject: f.Subject,
	}
}

func (s *Server) deliveryRoutes() {
	const tag = "deliveries"
	register(s, operation{method: "GET", path: "/deliveries", permission: "webhooks:read", summary: "List deliveries, newest first", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			PageParams
			DeliveryFilter
			Endpoint string `query:"endpoint_id"`
		},
		) (*listOutput[hub.Delivery], error) {
			return s.listDeliveries(ctx, p, &in.PageParams, in.query(in.Endpoint))
		})
	register(s, operation{method: "GET", path: "/deliveries/{id}", permission: "webhooks:read", summary: "Show a delivery with its attempts", tag: tag},
		func(ctx context.Context, p hub.Principal, in *deliveryID) (*struct{ Body *DeliveryView }, error) {
			v, err := s.deps.Deliveries.Delivery(ctx, p.Tenant, hub.DeliveryID(in.ID))
			return &struct{ Body *DeliveryView }{v}, err
		})
	register(s, operation{method: "POST", path: "/deliveries/{id}/retry", permission: "webhooks:update", summary: "Try a delivery now, in place of its next retry", tag: tag},
		func(ctx context.Context, p hub.Principal, in *deliveryID) (*struct{ Body *hub.Delivery }, error) {
			d, err := s.deps.Deliveries.Retry(ctx, p, hub.DeliveryID(in.ID))
			return &struct{ Body *hub.Delivery }{d}, err
		})
}

type deliveryID struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) endpointDeliveries(ctx context.Context, p hub.Principal, in *struct {
	WebhookID
	PageParams
	DeliveryFilter
},
) (*listOutput[hub.Delivery], error) {
	if _, err := s.deps.Webhooks.Endpoint(ctx, p.Tenant, hub.EndpointID(in.ID)); err != nil {
		return nil, err
	}
	return s.listDeliveries(ctx, p, &in.PageParams, in.query(in.ID))
}

func (s *Server) listDeliveries(ctx context.Context, p hub.Principal, params *PageParams, q DeliveryQuery) (*listOutput[hub.Delivery], error) {
	pg, err := params.parse()
	if err != nil {
		return nil, err
	}
	return listOf(s.deps.Deliveries.List(ctx, p.Tenant, q, pg))
}
