package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v2"
	"github.com/tocsin/tocsin/hub"
)

// A Problem is an error as the outside sees it: RFC 9457 with the fields of the
// contract, §2.
type Problem struct {
	Type      string      `json:"type"`
	Title     string      `json:"title"`
	Status    int         `json:"status"`
	Detail    string      `json:"detail"`
	Instance  string      `json:"instance,omitempty"`
	Error_    string      `json:"error"`            // the same as detail
	Errors    []hub.Field `json:"errors,omitempty"` // for 422
	RequestID string      `json:"request_id,omitempty"`

	retryAfter time.Duration
	cause      error // for the log
}

// statuses is the one table from kinds of error to HTTP statuses.
var statuses = map[hub.Kind]int{
	hub.Malformed: 400, hub.Unauthorized: 401, hub.Forbidden: 403, hub.NotFound: 404, hub.Conflict: 409, hub.Gone: 410,
	hub.Precondition: 412, hub.TooLarge: 413, hub.Unsupported: 415, hub.Invalid: 422, hub.RateLimited: 429, hub.Transient: 503,
	hub.Internal: 500, methodNotAllowed: 405,
}

// methodNotAllowed is a kind that only HTTP knows.
const methodNotAllowed hub.Kind = "method_not_allowed"

// problemOf is the one place where an error becomes an answer. What is not an
// error for the caller becomes "internal error", with the cause for the log.
func problemOf(err error) *Problem {
	var e *hub.Error
	if !errors.As(err, &e) || statuses[e.Kind] == 0 || e.Kind == hub.Internal {
		return newProblem(500, "internal error", err)
	}
	p := newProblem(statuses[e.Kind], e.Msg, nil)
	p.Type = "urn:tocsin:error:" + string(e.Kind)
	p.retryAfter = e.RetryAfter
	if e.Kind == hub.Invalid {
		p.Errors = e.Fields
		if len(p.Errors) == 0 {
			p.Errors = []hub.Field{{Pointer: "", Detail: e.Msg}}
		}
	}
	if e.Kind == hub.Transient {
		p.cause = err
		p.retryAfter = max(p.retryAfter, time.Second)
	}
	return p
}

func newProblem(status int, detail string, cause error) *Problem {
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Error_: detail, cause: cause,
	}
}

func tooLarge(limit int64) error {
	return hub.E(hub.TooLarge, fmt.Sprintf("the body is larger than %d bytes; send it in parts", limit))
}

// fromFiber gives Fiber's own errors a kind.
func fromFiber(fe *fiber.Error, limit int64) error {
	switch fe.Code {
	case fiber.StatusRequestEntityTooLarge:
		return tooLarge(limit)
	case fiber.StatusMethodNotAllowed:
		return hub.E(methodNotAllowed, fe.Message)
	case fiber.StatusNotFound:
		return hub.E(hub.NotFound, "there is nothing here")
	case fiber.StatusBadRequest, fiber.StatusRequestHeaderFieldsTooLarge:
		return hub.E(hub.Malformed, "the request cannot be read: "+fe.Message)
	}
	return fe
}

func (s *Server) writeProblem(c *fiber.Ctx, p *Problem) error {
	p.Instance = pathOf(c.OriginalURL())
	id, _ := c.Locals(localRequestID).(string)
	p.RequestID = id
	if p.cause != nil {
		s.deps.Log.ErrorContext(c.UserContext(), "request failed", "request_id", id, "method", c.Method(), "path", c.Path(), "status", p.Status, "error", p.cause)
	}
	if p.Status == 401 {
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="tocsin"`)
	}
	if p.retryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, seconds(p.retryAfter))
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/problem+json")
	return c.Status(p.Status).Send(body)
}

// pathOf gives the path of a request's target as a URI reference, "" if it is none.
func pathOf(target string) string {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

// seconds rounds up, so that nobody comes back too early.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }
