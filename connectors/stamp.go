package connectors

import (
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
)

// Stamp completes findings with what no mapping knows: id, tenant, the
// connector's name and the time of receipt.
//
// A mapping that left a needed field empty is a fault of ours, and neither
// losing the finding nor stopping the source would mend it: such a finding is
// filled in, and Stamp counts it so that the fault is seen.
func Stamp(findings []hub.Finding, tenant hub.TenantID, source string, now time.Time) (repaired int) {
	now = hub.Truncate(now)
	for i := range findings {
		f := &findings[i]
		f.ID = hub.FindingID(ident.New(hub.PrefixFinding))
		f.Tenant, f.Source, f.ReceivedAt = tenant, source, now
		if f.ObservedAt.IsZero() {
			f.ObservedAt, f.ObservedGiven = now, false
		}
		f.ObservedAt = hub.Truncate(f.ObservedAt)
		if repair(f) {
			repaired++
		}
	}
	return repaired
}

func repair(f *hub.Finding) bool {
	bad := false
	if !slices.Contains(hub.FindingTypes[:], f.Type) {
		f.Type, bad = "custom", true
	}
	if !f.Severity.Valid() {
		// Too loud is noticed and mended, too quiet is not.
		f.Severity, bad = hub.High, true
	}
	if f.AssetID == "" {
		f.AssetID, bad = "unknown", true
	}
	if f.Status != hub.FindingOpen && f.Status != hub.FindingResolved {
		f.Status, bad = hub.FindingOpen, true
	}
	return bad
}
