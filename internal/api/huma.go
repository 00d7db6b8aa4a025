package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/page"
)

// strictCasing makes huma's check of a body agree with the decoder: otherwise
// {"severity":"low","SEVERITY":"x"} passes the one and not the other. It is the
// library's own switch for the whole process.
var strictCasing = sync.OnceFunc(func() { huma.ValidateStrictCasing = true })

// newHuma prepares the huma API on the server's Fiber app.
func newHuma(s *Server) huma.API {
	strictCasing()
	cfg := huma.DefaultConfig("Tocsin", s.deps.Version)
	cfg.Info.Description = "The hub between the tools that raise security findings and those who act on them."
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = Base+"/openapi", "", ""
	cfg.CreateHooks = nil // no $schema links in bodies
	cfg.Formats = map[string]huma.Format{"application/json": jsonFormat(), "json": jsonFormat()}
	cfg.Transformers = []huma.Transformer{s.asProblem}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key": {Type: "http", Scheme: "bearer", Description: "An API key, such as toc_live_…"},
	}
	cfg.Security = []map[string][]string{{"key": {}}}
	// A sender's own JSON is anything, not the bytes that hold it.
	cfg.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[jsontext.Value](), reflect.TypeFor[any]())
	api := humafiber.NewV2(s.app, cfg)
	api.UseMiddleware(s.humaPermit)
	return api
}

// jsonFormat refuses duplicate names and invalid UTF-8, which encoding/json
// takes.
func jsonFormat() huma.Format {
	return huma.Format{
		Marshal:   func(w io.Writer, v any) error { return json.MarshalWrite(w, v) },
		Unmarshal: func(b []byte, v any) error { return json.Unmarshal(b, v) },
	}
}

type principalKey struct{}

func withPrincipal(ctx context.Context, p hub.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

func principalOf(ctx context.Context) hub.Principal {
	p, _ := ctx.Value(principalKey{}).(hub.Principal)
	return p
}

// permission is the metadata name under which an operation says what it needs.
const permission = "permission"

// humaPermit refuses callers without the operation's permission.
func (s *Server) humaPermit(ctx huma.Context, next func(huma.Context)) {
	need, _ := ctx.Operation().Metadata[permission].(string)
	if err := s.permit(ctx.Context(), principalOf(ctx.Context()), need); err != nil {
		s.writeHumaProblem(ctx, problemOf(err))
		return
	}
	next(ctx)
}

func (s *Server) writeHumaProblem(ctx huma.Context, p *Problem) {
	u := ctx.URL()
	p.Instance = u.EscapedPath()
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"status":500}`)
	}
	if p.retryAfter > 0 {
		ctx.SetHeader("Retry-After", seconds(p.retryAfter))
	}
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(p.Status)
	_, _ = ctx.BodyWriter().Write(body) // a caller who has gone is no error
}

// An operation is what the routes of a resource have to say of themselves.
type operation struct {
	method, path string
	permission   string
	summary      string
	status       int // of success; 0 is 200
	tag          string
}

// register adds a route. Errors of handle go through problemOf like all others.
func register[I, O any](s *Server, op operation, handle func(context.Context, hub.Principal, *I) (*O, error)) {
	o := huma.Operation{
		OperationID: operationID(op), Method: op.method, Path: Base + op.path, Summary: op.summary, Tags: []string{op.tag},
		DefaultStatus: op.status, Metadata: map[string]any{permission: op.permission}, MaxBodyBytes: s.deps.BodyLimit + 1,
		Description: "Needs the permission " + op.permission + ".",
	}
	huma.Register(s.api, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, principalOf(ctx), in)
		if err != nil {
			return nil, s.humaError(ctx, err)
		}
		return out, nil
	})
}

func operationID(op operation) string {
	id := strings.ToLower(op.method) + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(op.path)
	return strings.TrimSuffix(id, "-")
}

// humaError gives a handler's error as a problem with its headers.
func (s *Server) humaError(ctx context.Context, err error) error {
	p := problemOf(err)
	p.RequestID = principalOf(ctx).RequestID
	if p.cause != nil {
		s.deps.Log.ErrorContext(ctx, "request failed", "request_id", p.RequestID, "status", p.Status, "error", p.cause)
	}
	if p.retryAfter > 0 {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {seconds(p.retryAfter)}})
	}
	return p
}

// Error gives the sentence for the caller.
func (p *Problem) Error() string { return p.Detail }

// GetStatus gives the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType names the media type of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// asProblem gives huma's own errors, such as a failed check of a body, our form.
func (s *Server) asProblem(ctx huma.Context, _ string, v any) (any, error) {
	if e, ok := v.(error); ok {
		var m *huma.ErrorModel
		if errors.As(e, &m) {
			v = fromModel(m)
		}
	}
	if p, ok := v.(*Problem); ok {
		u := ctx.URL()
		p.Instance, p.RequestID = u.EscapedPath(), principalOf(ctx.Context()).RequestID
	}
	return v, nil
}

func fromModel(m *huma.ErrorModel) *Problem {
	p := newProblem(m.Status, m.Detail, nil)
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, hub.Field{Pointer: pointerOf(e.Location), Detail: e.Message})
	}
	if m.Status >= 500 {
		return newProblem(500, "internal error", nil)
	}
	if len(p.Errors) > 0 {
		f := p.Errors[0]
		p.Detail = strings.TrimSpace(strings.TrimPrefix(f.Pointer, "/") + ": " + f.Detail)
	}
	p.Error_ = p.Detail
	return p
}

// pointerOf turns huma's body.a.b[0] into the pointer /a/b/0.
func pointerOf(location string) string {
	location, _ = strings.CutPrefix(location, "body")
	location = strings.NewReplacer("[", ".", "]", "").Replace(location)
	if location == "" {
		return ""
	}
	return "/" + strings.ReplaceAll(strings.TrimPrefix(location, "."), ".", "/")
}

// PageParams are the query parameters of every list.
type PageParams struct {
	Limit string `query:"limit" doc:"Rows, 1–200; 50 if not given"`
	After string `query:"after" doc:"Cursor: next_cursor of the part before"`
	Page  string `query:"page" doc:"Page by number, from 1, instead of a cursor; adds total"`
}

func (p *PageParams) parse() (page.Request, error) { return page.Parse(p.Limit, p.After, p.Page) }

// listBody is the form of every list (contract §2).
type listBody[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
	HasMore    bool    `json:"has_more"`
	Total      *int64  `json:"total,omitempty"`
}

type listOutput[T any] struct{ Body listBody[T] }

func listOf[T any](l List[T], err error) (*listOutput[T], error) {
	if err != nil {
		return nil, err
	}
	b := listBody[T]{Data: l.Data, Total: l.Total, HasMore: l.Next != ""}
	if b.Data == nil {
		b.Data = []T{}
	}
	if l.Next != "" {
		b.NextCursor = &l.Next
	}
	return &listOutput[T]{b}, nil
}

// parseVersion reads an If-Match header: the version in quotes, or * for any.
func parseVersion(ifMatch string) (int64, error) {
	if ifMatch == "" || ifMatch == "*" {
		return 0, nil
	}
	v, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(ifMatch, "W/"), `"`), 10, 64)
	if err != nil || v < 1 {
		return 0, hub.E(hub.Malformed, `If-Match must be the ETag of the object, such as "3"`)
	}
	return v, nil
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// words splits the values of a filter, which may be given several times or by
// comma.
func words(s string) []string {
	var all []string
	for w := range strings.SplitSeq(s, ",") {
		if w = strings.TrimSpace(w); w != "" {
			all = append(all, w)
		}
	}
	return all
}
