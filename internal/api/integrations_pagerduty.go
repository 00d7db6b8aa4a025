package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/tocsin/tocsin/hub"
)

// PagerDutyPath is where PagerDuty's webhooks are taken.
const PagerDutyPath = Base + "/integrations/pagerduty/webhook"

// PagerDuty takes what PagerDuty tells of its incidents.
type PagerDuty interface {
	// Receive carries out a v3 webhook, once however often it comes. An error of
	// kind Unauthorized says that no PagerDuty endpoint's secret signed it. What is
	// signed and of no use here is no error: PagerDuty switches a subscription off
	// whose webhooks are refused.
	Receive(ctx context.Context, r IngestRequest) (PagerDutyResult, error)
}

// A PagerDutyResult is what became of a webhook.
type PagerDutyResult struct {
	Outcome string        `json:"outcome"` // applied, unchanged, ignored or duplicate
	Alerts  []hub.AlertID `json:"alerts"`
	Note    string        `json:"note,omitempty"`
}

// pagerDutyWebhook hands a webhook over as the bytes that were signed.
func (s *Server) pagerDutyWebhook(c *fiber.Ctx) error {
	if s.deps.PagerDuty == nil {
		return hub.E(hub.NotFound, "there is nothing at "+c.Path())
	}
	r, err := s.ingestRequest(c)
	if err != nil {
		return err
	}
	res, err := s.deps.PagerDuty.Receive(c.UserContext(), r)
	if err != nil {
		return err
	}
	return s.send(c, fiber.StatusOK, res)
}

// documentPagerDuty puts the route into the document.
func (s *Server) documentPagerDuty() {
	s.api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "post-integrations-pagerduty-webhook", Method: "POST", Path: PagerDutyPath, Tags: []string{"integrations"},
		Summary:     "Take a v3 webhook of PagerDuty",
		Description: "Signed by X-PagerDuty-Signature with the webhook secret of a PagerDuty endpoint. What was done with an incident there is done with its alert here, once however often it comes.",
		Security:    []map[string][]string{},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}}},
		Responses: map[string]*huma.Response{
			"200": {Description: "What became of it", Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
				Type: huma.TypeObject, Required: []string{"outcome", "alerts"},
				Properties: map[string]*huma.Schema{
					"outcome": {Type: huma.TypeString, Enum: []any{"applied", "unchanged", "ignored", "duplicate"}},
					"alerts":  {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}},
					"note":    {Type: huma.TypeString},
				},
			}}}},
			"400": {Description: "Signed, but no v3 webhook"},
			"401": {Description: "No PagerDuty endpoint's webhook secret signed it"},
			"503": {Description: "It cannot be stored now; PagerDuty sends it again"},
		},
	})
}
