package api

import (
	"fmt"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ratelimit"
)

// Plans of the contract, §2: requests a minute and at once.
var plans = map[string]ratelimit.Limit{
	"starter":      {PerMinute: 60, Burst: 15},
	"professional": {PerMinute: 300, Burst: 50},
	"enterprise":   {PerMinute: 1200, Burst: 200},
	"unlimited":    {},
}

// unlimitedShown stands in the headers of a plan without a limit, because
// clients read a number there and take 0 for exhausted.
const unlimitedShown = 1_000_000

// rate counts the request against the caller's limit and says in the headers
// how much is left.
func (s *Server) rate(c *fiber.Ctx, key string, ingest bool) error {
	plan, bucket := s.deps.Plan, "control:"+key
	if ingest {
		plan, bucket = s.deps.IngestPlan, "ingest:"+key
	}
	limit := plans[plan]
	if limit.Unlimited() {
		writeLimit(c, unlimitedShown, unlimitedShown, unlimitedShown, time.Now())
		return nil
	}
	r := s.limiter.Allow(bucket, limit)
	writeLimit(c, limit.PerMinute, r.Remaining, limit.Burst, r.Reset)
	if r.Allowed {
		return nil
	}
	return &hub.Error{
		Kind: hub.RateLimited, RetryAfter: max(r.RetryAfter, time.Second),
		Msg: fmt.Sprintf("more than %d requests a minute (%d at once); come back after the time in Retry-After", limit.PerMinute, limit.Burst),
	}
}

func writeLimit(c *fiber.Ctx, limit, remaining, burst int, reset time.Time) {
	c.Set("X-RateLimit-Limit", strconv.Itoa(limit))
	c.Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
	c.Set("X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	c.Set("X-RateLimit-Burst", strconv.Itoa(burst))
}
