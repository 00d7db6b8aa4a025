package api

import "github.com/danielgtaylor/huma/v2"

// documentPlainRoutes puts the routes that are not huma's into the document.
func (s *Server) documentPlainRoutes() {
	doc := s.api.OpenAPI()
	problem := func(text string) *huma.Response {
		return &huma.Response{Description: text, Content: map[string]*huma.MediaType{"application/problem+json": {}}}
	}
	add := func(method, path, summary, permission string, types ...string) {
		content := map[string]*huma.MediaType{}
		for _, t := range types {
			content[t] = &huma.MediaType{Schema: &huma.Schema{}}
		}
		op := &huma.Operation{
			OperationID: operationID(operation{method: method, path: path}), Method: method, Path: Base + path, Summary: summary, Tags: []string{"findings"},
			Description: permission, RequestBody: &huma.RequestBody{Required: true, Content: content},
			Responses: map[string]*huma.Response{
				"202": {Description: "Accepted: survives a crash from now on"}, "400": problem("Not JSON"), "401": problem("No or a wrong credential"),
				"413": problem("Body too large"), "415": problem("Content-Type is not JSON"), "422": problem("Not a finding; errors names the fields"),
				"429": problem("Too many requests"), "503": problem("Cannot store anything at the moment; come back after Retry-After"),
			},
		}
		if path == "/ingest/{source}" {
			op.Security = []map[string][]string{}
			op.Parameters = []*huma.Param{{Name: "source", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}}
		}
		if path == "/findings" {
			op.Parameters = []*huma.Param{{Name: "wait", In: "query", Description: "true: answer after triage, with the alert", Schema: &huma.Schema{Type: "boolean"}}}
			op.Responses["200"] = &huma.Response{Description: "Triaged (with wait=true)"}
		}
		doc.AddOperation(op)
	}
	add("POST", "/findings", "Submit a finding", "Needs the permission findings:create.", "application/json")
	add("POST", "/findings/batch", "Submit up to 1,000 findings", "Needs the permission findings:create.", "application/json", "application/x-ndjson")
	add("POST", "/alerts/batch", "Submit up to 1,000 findings", "Needs the permission findings:create.", "application/json", "application/x-ndjson")
	add("POST", "/ingest/{source}", "Push in a source's own format", "The source's own signature or token is checked.", "application/json", "application/x-ndjson", "text/plain")
	s.documentVendorRoutes()
}
