package edgetelemetry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// service keeps what EdgeAI says of itself: version, readiness, the hub's user
// and the size of the audit log. It reports the installation as a node.
func (w *pull) service(ctx context.Context) (done bool, err error) {
	s := w.source
	for _, path := range []string{"/health", "/ready"} {
		answer, err := s.health(ctx, path)
		switch {
		case err == nil:
			s.keep(path[1:], answer.Result())
			s.found(path[1:])
		case hub.KindOf(err) == hub.RateLimited || ctx.Err() != nil:
			return false, err
		default:
			s.miss(path[1:], err.Error())
		}
	}
	if err := s.whoami(ctx, false); hub.KindOf(err) == hub.RateLimited || ctx.Err() != nil {
		return false, err
	}
	data, _, err := s.get(ctx, "/audit/stats", map[string][]string{"start_time": {iso(w.Started.Add(-24 * time.Hour))}, "end_time": {iso(w.Started)}})
	switch {
	case err == nil:
		s.keep("audit_of_a_day", data)
	case hub.KindOf(err) == hub.RateLimited || ctx.Err() != nil:
		return false, err
	}
	w.saw("service", hub.NodeReport{
		Kind: hub.NodeAccount, Keys: []string{s.asset}, Attributes: s.about(),
		Asset: hub.Asset{Type: "edgetelemetry", Provider: "edgetelemetry", Name: strings.TrimPrefix(s.asset, "edgetelemetry:")},
	})
	w.Whole["service"] = true
	s.lacks()
	return true, nil
}

// about is what the inventory holds of the installation.
func (s *Source) about() jsontext.Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := json.Marshal(map[string]jsontext.Value{"health": s.said["health"], "ready": s.said["ready"], "metrics": s.said["metrics"]}, json.Deterministic(true))
	if err != nil {
		return nil
	}
	return b
}

// wanted are the permissions that pulling needs, and those without which what
// happens here is not told there.
var wanted = []string{
	"alerts:read", "alerts:update", "alert_rules:read", "incidents:read", "summaries:read", "audit_logs:read", "users:read",
}

// lacks tells people which of the wanted permissions the hub's user has not.
func (s *Source) lacks() {
	s.mu.Lock()
	has := readFields(s.said["user"]).texts("permissions")
	s.mu.Unlock()
	missing := slices.DeleteFunc(slices.Clone(wanted), func(p string) bool { return slices.Contains(has, p) })
	if len(has) == 0 || len(missing) == 0 {
		s.found("permissions")
		return
	}
	s.miss("permissions", "the hub's user lacks "+strings.Join(missing, ", ")+"; give its role those that the README says it needs")
}
