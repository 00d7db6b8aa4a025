package store

import (
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// How much of an alert's history [Reader.SourceFindings] goes through, and how
// many findings of one source it gives.
const (
	newestChanges = 1000
	oldestChanges = 100
	maxOfSource   = 20
)

// SourceFindings gives, of the sources named, their own ids of the findings that
// went into an alert, with what each said last by the sources' clocks; the newest
// first. Of an alert with a history longer than a thousand changes it looks at the
// newest and the first.
func (r *Reader) SourceFindings(tenant hub.TenantID, id hub.AlertID, sources []string) ([]hub.SourceFinding, error) {
	ids, err := r.findingsOf(tenant, id)
	if err != nil {
		return nil, err
	}
	rows, err := r.FindingsByID(tenant, ids)
	if err != nil {
		return nil, err
	}
	said := make([]saying, 0, len(rows))
	for _, row := range rows {
		var s saying
		if err := decode(row.Doc, &s); err != nil {
			return nil, err
		}
		if s.SourceID != "" && slices.Contains(sources, s.Source) {
			said = append(said, s)
		}
	}
	return newestSayings(said), nil
}

// A saying is what is read of a finding's document.
type saying struct {
	Source     string            `json:"source"`
	SourceID   string            `json:"source_id"`
	Status     hub.FindingStatus `json:"status"`
	ObservedAt time.Time         `json:"observed_at"`
	Sequence   int64             `json:"source_sequence"`
}

func (s saying) compare(o saying) int {
	if c := s.ObservedAt.Compare(o.ObservedAt); c != 0 {
		return c
	}
	return int(max(min(s.Sequence-o.Sequence, 1), -1))
}

// newestSayings keeps what each finding said last, and the newest of each source.
func newestSayings(said []saying) []hub.SourceFinding {
	slices.SortStableFunc(said, func(a, b saying) int { return b.compare(a) })
	type key struct{ source, id string }
	seen, count := map[key]bool{}, map[string]int{}
	out := []hub.SourceFinding{}
	for _, s := range said {
		k := key{s.Source, s.SourceID}
		if seen[k] || count[s.Source] == maxOfSource {
			continue
		}
		seen[k] = true
		count[s.Source]++
		out = append(out, hub.SourceFinding{Source: s.Source, SourceID: s.SourceID, Status: s.Status})
	}
	return out
}

// findingsOf gives the ids of findings that changed an alert: of its newest
// changes, then of its first.
func (r *Reader) findingsOf(tenant hub.TenantID, id hub.AlertID) ([]hub.FindingID, error) {
	newest, err := r.changedBy(tenant, id, "DESC", newestChanges)
	if err != nil || len(newest) < newestChanges {
		return newest, err
	}
	oldest, err := r.changedBy(tenant, id, "ASC", oldestChanges)
	return append(newest, oldest...), err
}

// changedBy gives up to limit ids of findings of as many changes.
func (r *Reader) changedBy(tenant hub.TenantID, id hub.AlertID, order string, limit int) ([]hub.FindingID, error) {
	var ids []hub.FindingID
	err := r.q.Query("SELECT doc FROM alert_changes WHERE alert_id = $1 AND tenant = $2 ORDER BY version "+order+" LIMIT $3",
		[]any{string(id), string(tenant), int64(limit)}, func(v []any) error {
			var c struct {
				Findings []hub.FindingID `json:"findings"`
			}
			err := decode(bytesOf(v[0]), &c)
			slices.Reverse(c.Findings) // the newest last
			ids = append(ids, c.Findings[:min(len(c.Findings), limit-len(ids))]...)
			return err
		})
	return ids, err
}
