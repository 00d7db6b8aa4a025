package audit

import (
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Filter says which entries a query is for. An empty field filters nothing.
type Filter struct {
	UserID, Action, ResourceType, ResourceID, IP string

	Start time.Time // at or after
	End   time.Time // before
	// Query is words that must all occur in the texts of the entry, in any case.
	Query string
}

// Match reports whether the filter takes e.
func (f *Filter) Match(e *hub.AuditEntry) bool {
	return is(f.UserID, e.UserID) && is(f.Action, e.Action) && is(f.ResourceType, e.ResourceType) &&
		is(f.ResourceID, e.ResourceID) && is(f.IP, e.IPAddress) &&
		(f.Start.IsZero() || !e.Timestamp.Before(f.Start)) && (f.End.IsZero() || e.Timestamp.Before(f.End)) && f.matchQuery(e)
}

func is(want, got string) bool { return want == "" || want == got }

func (f *Filter) matchQuery(e *hub.AuditEntry) bool {
	words := strings.Fields(strings.ToLower(f.Query))
	if len(words) == 0 {
		return true
	}
	text := strings.ToLower(strings.Join([]string{
		e.ID, e.UserID, e.UserEmail, string(e.ActorType), e.Action, e.ResourceType, e.ResourceID, e.IPAddress, e.UserAgent,
		e.RequestMethod, e.RequestPath, string(e.Outcome), string(e.Details),
	}, "\n"))
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// Stats count entries.
type Stats struct {
	Total     int64            `json:"total_count"`
	Actions   map[string]int64 `json:"action_counts"`
	Resources map[string]int64 `json:"resource_counts"` // by resource type
}

// Add counts an entry.
func (s *Stats) Add(e *hub.AuditEntry) {
	if s.Actions == nil {
		s.Actions, s.Resources = map[string]int64{}, map[string]int64{}
	}
	s.Total++
	s.Actions[e.Action]++
	s.Resources[e.ResourceType]++
}
