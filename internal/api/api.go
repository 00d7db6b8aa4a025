// Package api serves the hub over HTTP: the data plane, the control plane,
// health and metrics, as contract.md describes them.
//
// The routes of the data plane are plain Fiber handlers, because they are taken
// thousands of times a second; all others are huma operations, one file a
// resource, from which the OpenAPI document is made. Every route names the
// permission it needs. Every error leaves through one function, [problemOf].
//
// Fiber reuses its buffers, so the app is Immutable and bodies are cloned before
// they are kept.
package api

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/ratelimit"
)

// Base is the path that all routes of the API share.
const Base = "/api/v1"

// hardLimit is how many times the body limit is read at all: a body just over
// the limit is read to its end, so that the sender gets its 413 instead of a
// reset connection.
const hardLimit = 4

// Local names of what the middleware hands to the handlers.
const (
	localPrincipal = "principal"
	localRequestID = "request_id"
)

// A Server is the hub's HTTP server.
type Server struct {
	deps    Deps
	app     *fiber.App
	api     huma.API
	limiter *ratelimit.Limiter
	metrics *httpMetrics
	leaving atomic.Bool // this node is about to stop
}

// New makes a server with all routes.
func New(deps Deps) *Server {
	s := &Server{deps: deps, limiter: ratelimit.New(100_000), metrics: newHTTPMetrics(deps.Registry)}
	s.app = fiber.New(fiber.Config{
		AppName: "tocsin", DisableStartupMessage: true, Immutable: true, StrictRouting: false, CaseSensitive: true,
		BodyLimit: int(deps.BodyLimit) * hardLimit, ErrorHandler: s.fail, ReadTimeout: cmp.Or(deps.ReadTimeout, 30*time.Second), IdleTimeout: cmp.Or(deps.IdleTimeout, 2*time.Minute),
		ReadBufferSize: 16 << 10, StreamRequestBody: false, Concurrency: 64 << 10, ServerHeader: "",
	})
	s.app.Use(s.observe, s.identify)
	s.plainRoutes()
	s.api = newHuma(s)
	s.humaRoutes()
	s.app.Use(func(c *fiber.Ctx) error { return s.noRoute(c) })
	return s
}

// plainRoutes are those outside huma: health, metrics and the data plane.
func (s *Server) plainRoutes() {
	s.app.Get("/health", s.health)
	s.app.Get("/ready", s.ready)
	if !s.deps.NoMetrics {
		s.app.Get("/metrics", s.metricsPage)
	}
	s.app.Get("/docs", s.docs)
	v1 := s.app.Group(Base)
	v1.Post("/findings", s.authorise("findings:create"), s.postFinding)
	v1.Post("/findings/batch", s.authorise("findings:create"), s.postBatch)
	v1.Post("/alerts/batch", s.authorise("findings:create"), s.postBatch)
	v1.Post("/ingest/:source", s.postIngest)
	s.app.Post(PagerDutyPath, s.pagerDutyWebhook)
	s.slackRoutes()
	s.vendorRoutes()
}

// Serve takes connections until Shutdown.
func (s *Server) Serve(l net.Listener) error { return s.app.Listener(l) }

// Drain says that this node is about to stop: /ready answers 503, and connections
// end with their next answer. Requests are taken until Shutdown.
func (s *Server) Drain() { s.leaving.Store(true) }

// Shutdown stops taking connections and waits for open requests until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.app.ShutdownWithContext(ctx) }

// Test answers a request without a network, for tests.
func (s *Server) App() *fiber.App { return s.app }

// identify gives every request an id, refuses bodies over the limit, and on the
// API's paths tells who calls and how much more they may.
func (s *Server) identify(c *fiber.Ctx) error {
	id := ident.New("req_")
	c.Locals(localRequestID, id)
	c.Set("X-Request-Id", id)
	if isVendor(c.Path()) {
		return s.limited(c, "address:"+c.IP())
	}
	if !strings.HasPrefix(c.Path(), Base) || c.Path() == Base+"/openapi.json" {
		s.rate(c, "address:"+c.IP(), false)
		return c.Next()
	}
	if strings.HasPrefix(c.Path(), Base+"/ingest/") || c.Path() == PagerDutyPath || isSlack(c.Path()) { // the source's own signature counts
		return s.limited(c, "address:"+c.IP())
	}
	p, err := s.authenticate(c)
	if err != nil {
		s.rate(c, "address:"+c.IP(), false)
		return err
	}
	c.Locals(localPrincipal, p)
	c.SetUserContext(withPrincipal(c.UserContext(), p))
	return s.limited(c, "principal:"+p.ID)
}

func (s *Server) limited(c *fiber.Ctx, key string) error {
	if err := s.rate(c, key, isIngest(c)); err != nil {
		return err
	}
	if int64(len(c.Request().Body())) > s.deps.BodyLimit {
		return tooLarge(s.deps.BodyLimit)
	}
	return c.Next()
}

// isIngest reports whether the request counts as ingest, which has its own
// limit.
func isIngest(c *fiber.Ctx) bool {
	if isVendor(c.Path()) {
		return true
	}
	if c.Method() != fiber.MethodPost {
		return false
	}
	path := strings.TrimPrefix(c.Path(), Base)
	return path == "/findings" || path == "/findings/batch" || path == "/alerts/batch" || strings.HasPrefix(path, "/ingest/")
}

func (s *Server) authenticate(c *fiber.Ctx) (hub.Principal, error) {
	header := c.Get(fiber.HeaderAuthorization)
	if header == "" {
		return hub.Principal{}, hub.E(hub.Unauthorized, "the request carries no credential: send Authorization: Bearer <API key>")
	}
	scheme, token, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return hub.Principal{}, hub.E(hub.Unauthorized, "the Authorization header must be: Bearer <API key>")
	}
	p, err := s.deps.Access.Authenticate(c.UserContext(), strings.TrimSpace(token))
	if err != nil {
		return hub.Principal{}, err
	}
	p.IP, p.UserAgent, p.Method, p.Path = c.IP(), c.Get(fiber.HeaderUserAgent), c.Method(), c.Path()
	p.RequestID, _ = c.Locals(localRequestID).(string)
	return p, nil
}

func principal(c *fiber.Ctx) hub.Principal {
	p, _ := c.Locals(localPrincipal).(hub.Principal)
	return p
}

// authorise refuses callers without the permission, and writes the refusal into
// the audit log.
func (s *Server) authorise(permission string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if err := s.permit(c.UserContext(), principal(c), permission); err != nil {
			return err
		}
		return c.Next()
	}
}

func (s *Server) permit(ctx context.Context, p hub.Principal, permission string) error {
	if permission == "" || p.Can(permission) {
		return nil
	}
	s.deps.Audit.Denied(ctx, p, permission)
	return hub.E(hub.Forbidden, "this needs the permission "+permission+", which the credential does not have")
}

// noRoute answers for paths and methods that do not exist.
func (s *Server) noRoute(c *fiber.Ctx) error {
	if allowed := s.allowed(c.Path()); len(allowed) > 0 {
		c.Set(fiber.HeaderAllow, strings.Join(allowed, ", "))
		return fiber.NewError(fiber.StatusMethodNotAllowed, c.Method()+" is not allowed here; allowed: "+strings.Join(allowed, ", "))
	}
	return hub.E(hub.NotFound, "there is nothing at "+c.Path())
}

// allowed lists the methods that some route takes at path: of the routes for this
// very path if there are any, because no object has a word of ours as its id.
func (s *Server) allowed(path string) []string {
	is := func(r fiber.Route) bool { return fiber.RoutePatternMatch(path, r.Path) }
	routes := s.app.GetRoutes(true)
	if slices.ContainsFunc(routes, func(r fiber.Route) bool { return r.Path == path }) {
		is = func(r fiber.Route) bool { return r.Path == path }
	}
	var methods []string
	for _, m := range []string{fiber.MethodGet, fiber.MethodPost, fiber.MethodPut, fiber.MethodPatch, fiber.MethodDelete} {
		if slices.ContainsFunc(routes, func(r fiber.Route) bool { return r.Method == m && is(r) }) {
			methods = append(methods, m)
		}
	}
	return methods
}

// fail writes every error of a plain route as a problem.
func (s *Server) fail(c *fiber.Ctx, err error) error {
	var fe *fiber.Error
	if errors.As(err, &fe) {
		err = fromFiber(fe, s.deps.BodyLimit)
	}
	return s.writeProblem(c, problemOf(err))
}
