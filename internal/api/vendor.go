package api

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/tocsin/tocsin/hub"
)

// vendorRoots are the paths, outside of ours, that senders of other products
// know. The source whose credential a request carries answers it in its own way.
var vendorRoots = [...]string{"/services/collector"} // Splunk's HTTP Event Collector

// isVendor reports whether the path is one of a vendor's.
func isVendor(path string) bool {
	for _, root := range vendorRoots {
		if path == root || strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}

func (s *Server) vendorRoutes() {
	for _, root := range vendorRoots {
		s.app.All(root, s.serveVendor)
		s.app.All(root+"/*", s.serveVendor)
	}
}

// serveVendor hands a request to its source and sends what that answers.
func (s *Server) serveVendor(c *fiber.Ctx) error {
	if s.deps.Vendor == nil {
		return hub.E(hub.NotFound, "there is nothing at "+c.Path())
	}
	r, err := s.ingestRequest(c)
	if err != nil {
		return err
	}
	a, err := s.deps.Vendor(c.UserContext(), strings.TrimSuffix(strings.Clone(c.Path()), "/"), r)
	if err != nil {
		return err
	}
	if a.RetryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, seconds(a.RetryAfter))
	}
	c.Set(fiber.HeaderContentType, a.Type)
	return c.Status(a.Status).Send(a.Body)
}

// ingestRequest copies what a source may look at.
func (s *Server) ingestRequest(c *fiber.Ctx) (IngestRequest, error) {
	body, err := s.body(c)
	if err != nil {
		return IngestRequest{}, err
	}
	r := IngestRequest{Method: c.Method(), Header: c.GetReqHeaders(), Body: body, IP: c.IP(), Query: map[string][]string{}}
	for k, v := range c.Context().QueryArgs().All() {
		r.Query[string(k)] = append(r.Query[string(k)], string(v))
	}
	return r, nil
}

// body gives a copy of the request's body, unpacked. A small body that unpacks
// to a huge one is refused like any that is too large.
func (s *Server) body(c *fiber.Ctx) ([]byte, error) {
	raw := c.Request().Body()
	switch encoding := strings.ToLower(strings.TrimSpace(c.Get(fiber.HeaderContentEncoding))); encoding {
	case "", "identity":
		return bytes.Clone(raw), nil
	case "gzip", "x-gzip":
		return gunzip(raw, s.deps.BodyLimit)
	default:
		return nil, hub.E(hub.Unsupported, "the Content-Encoding must be gzip or none, not "+encoding)
	}
}

func gunzip(packed []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, hub.Wrap(hub.Malformed, err, "the body is not gzip, as its Content-Encoding says")
	}
	body, err := io.ReadAll(io.LimitReader(z, limit+1))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, hub.Wrap(hub.Malformed, err, "the gzip body is broken or cut")
	case int64(len(body)) > limit:
		return nil, tooLarge(limit)
	}
	return body, nil
}

// documentVendorRoutes puts the vendors' paths into the document.
func (s *Server) documentVendorRoutes() {
	doc := s.api.OpenAPI()
	for _, op := range []struct{ method, path, summary string }{
		{"POST", "/services/collector/event", "Events as Splunk's HTTP Event Collector takes them"},
		{"POST", "/services/collector/raw", "Lines as Splunk's HTTP Event Collector takes them"},
		{"POST", "/services/collector/ack", "Which requests are acknowledged"},
		{"GET", "/services/collector/health", "Whether the collector can take events"},
	} {
		o := &huma.Operation{
			OperationID: "splunk-" + op.path[strings.LastIndexByte(op.path, '/')+1:], Method: op.method, Path: op.path, Summary: op.summary, Tags: []string{"findings"},
			Description: "Answered in Splunk's words and with its codes by the connector whose token the request carries.", Security: []map[string][]string{},
			Responses: map[string]*huma.Response{},
		}
		if op.method == "POST" {
			o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{}}, "text/plain": {Schema: &huma.Schema{}}}}
		}
		for status, text := range map[string]string{
			"200": "Success, code 0 or 17", "400": "The request or an event of it is no use", "401": "No token", "403": "A wrong token", "404": "No connector serves this", "503": "Busy; come back after Retry-After",
		} {
			o.Responses[status] = &huma.Response{Description: text}
		}
		doc.AddOperation(o)
	}
}
