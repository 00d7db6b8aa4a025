package api

import (
	"maps"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin/tocsin/hub"
)

// object makes the schema of an object; further fields are allowed, as ever
// where a client reads what a newer hub may have added to.
func object(properties map[string]*huma.Schema, required ...string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Properties: properties, Required: required, AdditionalProperties: true}
}

func text(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: description}
}

func oneOf[T ~string](values ...T) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}

func listed(items *huma.Schema) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: items}
}

func ref(name string) *huma.Schema { return &huma.Schema{Ref: "#/components/schemas/" + name} }

// texts is an object of texts, such as labels.
func texts() *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{Type: huma.TypeString}}
}

func within(low, high float64) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Minimum: &low, Maximum: &high}
}

// limited bounds how long a text may be, and forbids an empty one if it is needed.
func limited(length int, needed bool) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, MaxLength: &length}
	if needed {
		one := 1
		s.MinLength = &one
	}
	return s
}

// problemModel is the name under which huma refers to errors.
const problemModel = "ErrorModel"

// schemas are what plain routes take and give, and the form of all errors.
func schemas() map[string]*huma.Schema {
	whole := &huma.Schema{Type: huma.TypeInteger}
	return map[string]*huma.Schema{
		problemModel: object(map[string]*huma.Schema{
			"type": text("Kind of error, a URI"), "title": text("The status in words"), "status": whole,
			"detail": text("What is wrong and what would be right"), "error": text("The same as detail"),
			"instance": {Type: huma.TypeString, Format: "uri-reference", Description: "Path of the request"}, "request_id": text("To find the request in the hub's log"),
			"errors": listed(object(map[string]*huma.Schema{"pointer": text("JSON pointer to the field"), "detail": text("What is wrong with it")}, "pointer", "detail")),
		}, "type", "title", "status", "detail", "error"),
		"NewFinding": object(map[string]*huma.Schema{
			"type": oneOf(hub.FindingTypes[:]...), "asset_id": limited(1024, true), "severity": oneOf(hub.Severities[:]...),
			"title": limited(4096, false), "description": limited(65536, false), "payload": {Type: huma.TypeObject, Nullable: true},
			"source": limited(1024, false), "source_id": limited(1024, false), "status": oneOf(hub.FindingOpen, hub.FindingResolved),
			"observed_at": {Type: huma.TypeString, Format: "date-time", Description: "From 1970 to 2200"}, "labels": texts(), "dedup_key": limited(1024, false),
			"asset": object(map[string]*huma.Schema{
				"type": {Type: huma.TypeString}, "provider": {Type: huma.TypeString}, "account": {Type: huma.TypeString}, "region": {Type: huma.TypeString},
				"name": {Type: huma.TypeString}, "tags": texts(),
			}),
			"vulnerability": object(map[string]*huma.Schema{
				"cve": {Type: huma.TypeString}, "cvss": within(0, 10), "package": {Type: huma.TypeString}, "fixed_version": {Type: huma.TypeString},
			}),
			"compliance": object(map[string]*huma.Schema{"framework": {Type: huma.TypeString}, "control": {Type: huma.TypeString}, "result": {Type: huma.TypeString}}),
			"risk_score": within(0, 100),
		}, "type", "asset_id", "severity"),
		"Accepted": object(map[string]*huma.Schema{"id": text("fnd_…"), "status": oneOf("accepted")}, "id", "status"),
		"Triaged": object(map[string]*huma.Schema{
			"id": text("fnd_…"), "alert_id": text("alt_…"), "outcome": oneOf("created", "merged", "reopened", "resolved", "suppressed", "duplicate", "late"),
		}, "id", "outcome"),
		"BatchAccepted": object(map[string]*huma.Schema{
			"accepted": whole, "ids": listed(text("fnd_…")),
			"rejected": listed(object(map[string]*huma.Schema{"index": whole, "error": {Type: huma.TypeString}}, "index", "error")),
		}, "accepted", "ids", "rejected"),
	}
}

// A plain route is one that is not huma's, as the document shows it.
type plainRoute struct {
	path, summary, permission string
	takes                     map[string]*huma.Schema // by media type
	gives                     string                  // schema of a 202
}

func plainRoutes() []plainRoute {
	const create = "Needs the permission findings:create."
	batch := map[string]*huma.Schema{"application/json": listed(ref("NewFinding")), "application/x-ndjson": {Type: huma.TypeString, Description: "A finding a line"}}
	return []plainRoute{
		{"/findings", "Submit a finding", create, map[string]*huma.Schema{"application/json": ref("NewFinding")}, "Accepted"},
		{"/findings/batch", "Submit up to 1,000 findings", create, batch, "BatchAccepted"},
		{"/alerts/batch", "Submit up to 1,000 findings", create, batch, "BatchAccepted"},
		{"/ingest/{source}", "Push in a source's own format", "The source's own signature or token is checked.", map[string]*huma.Schema{
			"application/json": {}, "application/x-ndjson": {}, "text/plain": {},
		}, ""},
	}
}

// documentPlainRoutes puts the routes that are not huma's into the document, and
// the form that errors really have.
func (s *Server) documentPlainRoutes() {
	doc := s.api.OpenAPI()
	maps.Copy(doc.Components.Schemas.Map(), schemas())
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	for _, r := range plainRoutes() {
		doc.AddOperation(r.operation())
	}
	s.documentVendorRoutes()
	s.documentPagerDuty()
	s.documentSlack()
	s.documentOtherTypes()
}

func (r *plainRoute) operation() *huma.Operation {
	content := map[string]*huma.MediaType{}
	for name, schema := range r.takes {
		content[name] = &huma.MediaType{Schema: schema}
	}
	op := &huma.Operation{
		OperationID: operationID(operation{method: "POST", path: r.path}), Method: "POST", Path: Base + r.path, Summary: r.summary, Tags: []string{"findings"},
		Description: r.permission, RequestBody: &huma.RequestBody{Required: true, Content: content},
		Responses: map[string]*huma.Response{
			"202": response("Accepted: survives a crash from now on", r.gives), "400": problem("Not JSON"), "401": problem("No or a wrong credential"),
			"403": problem("The credential may not do this"), "409": problem("The Idempotency-Key was used for another body"),
			"413": problem("Body too large"), "415": problem("Content-Type is not JSON"), "422": problem("Not a finding; errors names the fields"),
			"429": problem("Too many requests"), "503": problem("Cannot store anything at the moment; come back after Retry-After"),
		},
	}
	switch {
	case strings.HasPrefix(r.path, "/ingest/"):
		op.Security = []map[string][]string{}
		op.Parameters = []*huma.Param{{Name: "source", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}}
		op.Responses["200"], op.Responses["404"] = response("Taken", ""), problem("There is no such source")
	default:
		op.Parameters = []*huma.Param{{Name: "Idempotency-Key", In: "header", Description: "The same key and body give the first answer again for 24 h", Schema: limited(255, false)}}
	}
	if r.path == "/findings" {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "wait", In: "query", Description: "true: answer after triage, with the alert", Schema: &huma.Schema{Type: huma.TypeBoolean}})
		op.Responses["200"] = response("Triaged (with wait=true)", "Triaged")
	}
	return op
}

// response documents a success with a body of a schema, or of any.
func response(description, schema string) *huma.Response {
	r := &huma.Response{Description: description}
	if schema != "" {
		r.Content = map[string]*huma.MediaType{"application/json": {Schema: ref(schema)}}
	}
	return r
}

func problem(description string) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/problem+json": {Schema: ref(problemModel)}}}
}

// documentOtherTypes says which answers are not JSON.
func (s *Server) documentOtherTypes() {
	paths := s.api.OpenAPI().Paths
	note := &huma.MediaType{Schema: text("A signed note: log, size and root, and the signatures")}
	paths[Base+"/audit/checkpoint"].Get.Responses["200"].Content = map[string]*huma.MediaType{"text/plain": note}
	entries := &huma.MediaType{Schema: &huma.Schema{}}
	paths[Base+"/audit/export"].Get.Responses["200"].Content = map[string]*huma.MediaType{"application/json": entries, "text/csv": entries, "application/x-ndjson": entries}
}
