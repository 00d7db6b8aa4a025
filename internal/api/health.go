package api

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health says that the process lives.
func (s *Server) health(c *fiber.Ctx) error {
	return s.send(c, fiber.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}{"ok", s.deps.Version})
}

// ready says whether every part works: 503 with what is wrong when not.
func (s *Server) ready(c *fiber.Ctx) error {
	checks := s.deps.Health.Ready(c.UserContext())
	status, code := "ready", fiber.StatusOK
	if s.leaving.Load() {
		checks["server"] = "this node is about to stop"
	}
	for _, v := range checks {
		if v != "ok" {
			status, code = "not ready", fiber.StatusServiceUnavailable
			c.Set(fiber.HeaderRetryAfter, "2")
		}
	}
	return s.send(c, code, struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}{status, checks})
}

func (s *Server) metricsPage(c *fiber.Ctx) error {
	return adaptor.HTTPHandler(promhttp.HandlerFor(s.deps.Gatherer, promhttp.HandlerOpts{}))(c)
}

type httpMetrics struct {
	requests *prometheus.CounterVec
	latency  prometheus.Histogram
}

func newHTTPMetrics(reg prometheus.Registerer) *httpMetrics {
	m := &httpMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_http_requests_total", Help: "Requests answered, by method and status."}, []string{"method", "status"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tocsin_http_request_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}),
	}
	reg.MustRegister(m.requests, m.latency)
	return m
}

// observe counts and times every request, and turns errors into answers so that
// the status it counts is the one that was sent.
func (s *Server) observe(c *fiber.Ctx) error {
	start := time.Now()
	if err := next(c); err != nil {
		if err := s.fail(c, err); err != nil {
			return err
		}
	}
	if s.leaving.Load() {
		c.Context().SetConnectionClose() // the next request had better go to another node
	}
	s.metrics.latency.Observe(time.Since(start).Seconds())
	s.metrics.requests.WithLabelValues(c.Method(), strconv.Itoa(c.Response().StatusCode())).Inc()
	return nil
}

// next runs the rest of the chain. A panic is a bug in one handler and must not
// take down everybody's hub.
func next(c *fiber.Ctx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return c.Next()
}

func itoa(n int) string { return strconv.Itoa(n) }
