package hub

import (
	"slices"
	"strings"
	"time"
)

// An AlertFilter says which alerts a list is of. An empty field filters
// nothing; of a list, any value will do.
type AlertFilter struct {
	Severity, Status, Type, Source, AssetID, Account, Assignee []string

	Labels  map[string]string // each must be there with that value
	Query   string            // words in title, description, asset or id, in any case
	Since   time.Time         // last changed at or after
	Until   time.Time         // last changed before
	MinRisk *float64
}

// Match reports whether the filter takes a.
func (f *AlertFilter) Match(a *Alert) bool {
	return anyOf(f.Severity, string(a.Severity)) && anyOf(f.Status, string(a.Status)) &&
		anyOf(f.Type, a.Type) && anyOf(f.AssetID, a.AssetID) && anyOf(f.Account, a.Account()) &&
		anyOf(f.Assignee, a.Assignee) && f.matchSource(a) && f.matchLabels(a) &&
		(f.Since.IsZero() || !a.UpdatedAt.Before(f.Since)) && (f.Until.IsZero() || a.UpdatedAt.Before(f.Until)) &&
		(f.MinRisk == nil || a.RiskScore != nil && *a.RiskScore >= *f.MinRisk) && f.matchQuery(a)
}

func anyOf(want []string, got string) bool { return len(want) == 0 || slices.Contains(want, got) }

func (f *AlertFilter) matchSource(a *Alert) bool {
	return len(f.Source) == 0 || slices.ContainsFunc(a.Sources, func(s string) bool { return slices.Contains(f.Source, s) })
}

func (f *AlertFilter) matchLabels(a *Alert) bool {
	for k, v := range f.Labels {
		if got, there := a.Labels[k]; !there || got != v {
			return false
		}
	}
	return true
}

func (f *AlertFilter) matchQuery(a *Alert) bool {
	if f.Query == "" {
		return true
	}
	text := strings.ToLower(strings.Join([]string{string(a.ID), a.Title, a.Description, a.AssetID, a.Type}, "\n"))
	for _, word := range strings.Fields(strings.ToLower(f.Query)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// An Identity is the state of one fingerprint: its deduplication state and the
// alert that is its current one.
type Identity struct {
	Tenant      TenantID
	Fingerprint Fingerprint
	Origin      string   // never changes; what sightings of repeats hang on
	First       [16]byte // delivery key of the first finding
	FirstAt     time.Time
	Alert       AlertID   // "" while there is only a resolve before its open
	State       []byte    // dedup's own encoding
	DueAt       time.Time // when changes held back are to be told; zero: none are
}
