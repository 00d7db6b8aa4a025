package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/store"
)

// scanLimit bounds how many entries one query looks at; what lies further back
// is behind the next cursor.
const scanLimit = 50000

// auditLog shows the audit log.
type auditLog struct {
	st  *store.Store
	key *audit.Key
	// kept gives the checkpoints kept outside the database.
	kept func() ([][]byte, error)
}

var _ api.Audit = (*auditLog)(nil)

// AuditSource is a tenant's log in the store, as one snapshot has it.
type AuditSource struct {
	R      *store.Reader
	Tenant hub.TenantID
}

// Head gives the end of the log.
func (s AuditSource) Head(context.Context) (hub.AuditHead, error) { return s.R.AuditHead(s.Tenant) }

// Notes gives the checkpoints kept over time.
func (s AuditSource) Notes(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		notes, err := s.R.AuditNotes(s.Tenant)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, n := range notes {
			if !yield(n, nil) {
				return
			}
		}
	}
}

// Entries gives the entries in the order of the store.
func (s AuditSource) Entries(ctx context.Context, from int64) iter.Seq2[hub.SealedEntry, error] {
	return func(yield func(hub.SealedEntry, error) bool) {
		err := s.R.AuditEntriesStored(s.Tenant, from, func(e hub.SealedEntry) bool {
			return ctx.Err() == nil && yield(e, nil)
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(hub.SealedEntry{}, err)
		}
	}
}

func filterOf(q api.AuditQuery) *audit.Filter {
	return &audit.Filter{
		UserID: q.UserID, Action: q.Action, ResourceType: q.ResourceType, ResourceID: q.ResourceID, IP: q.IP,
		Start: q.Start, End: q.End, Query: q.Q,
	}
}

// Logs shows entries, newest first. Reading the audit log is itself an entry.
func (a *auditLog) Logs(ctx context.Context, p hub.Principal, q api.AuditQuery) (api.AuditLogs, error) {
	out := api.AuditLogs{Data: []hub.AuditEntry{}}
	end, err := page.DecodeInt("audit", q.After)
	if err != nil {
		return out, err
	}
	if q.After == "" {
		end = math.MaxInt64
	}
	filter, skip, seen := filterOf(q), q.Offset, 0
	err = a.scan(ctx, p.Tenant, q, end, func(e hub.AuditEntry) bool {
		if seen++; seen > scanLimit || !q.Start.IsZero() && e.Timestamp.Before(q.Start) {
			if seen > scanLimit {
				out.Next = page.EncodeInt("audit", e.Sequence+1)
			}
			return false
		}
		switch {
		case !filter.Match(&e):
		case skip > 0:
			skip--
		case len(out.Data) == q.Limit:
			out.Next = page.EncodeInt("audit", out.Data[q.Limit-1].Sequence)
			return false
		default:
			out.Data = append(out.Data, e)
		}
		return true
	})
	if err == nil && q.After == "" {
		err = a.note(ctx, p, "audit.read", q)
	}
	return out, err
}

// note writes that the log was read into the log.
func (a *auditLog) note(ctx context.Context, p hub.Principal, action string, q api.AuditQuery) error {
	e := hub.Audited(p, action, "audit_log", "")
	e.Details = new(hub.Details).Str("action", q.Action).Str("ip", q.IP).Str("q", q.Q).Str("resource_id", q.ResourceID).
		Str("resource_type", q.ResourceType).Str("user_id", q.UserID).Value()
	return a.st.Do(ctx, func(tx *store.Tx) error { tx.Audit(e); return nil })
}

// scan calls yield with the entries below end that the most telling field of q
// may take, newest first.
func (a *auditLog) scan(ctx context.Context, t hub.TenantID, q api.AuditQuery, end int64, yield func(hub.AuditEntry) bool) error {
	return a.st.View(ctx, func(r *store.Reader) (err error) {
		open := func(e hub.SealedEntry) bool {
			var entry hub.AuditEntry
			if entry, err = audit.Open(e); err != nil {
				return false
			}
			return yield(entry)
		}
		scanErr := scanRanges(r, t, q, end, open)
		if err == nil {
			err = scanErr
		}
		return err
	})
}

func scanRanges(r *store.Reader, t hub.TenantID, q api.AuditQuery, end int64, yield func(hub.SealedEntry) bool) error {
	field, value := "", ""
	switch {
	case q.UserID != "":
		field, value = "user_id", q.UserID
	case q.Action != "":
		field, value = "action", q.Action
	case q.ResourceType != "":
		field, value = "resource_type", q.ResourceType
	default:
		return r.AuditEntriesBefore(t, end, yield)
	}
	const chunk = 100
	for {
		ranges, err := r.AuditRanges(t, field, value, end, chunk)
		if err != nil || len(ranges) == 0 {
			return err
		}
		for _, x := range ranges {
			more, err := yieldRange(r, t, x[0], min(x[1]+1, end), yield)
			if err != nil || !more {
				return err
			}
			end = x[0]
		}
	}
}

// yieldRange gives the entries from first to below end, newest first.
func yieldRange(r *store.Reader, t hub.TenantID, first, end int64, yield func(hub.SealedEntry) bool) (more bool, err error) {
	more = true
	err = r.AuditEntriesBefore(t, end, func(e hub.SealedEntry) bool {
		if e.Sequence < first {
			return false
		}
		more = yield(e)
		return more
	})
	return more, err
}

// Stats counts entries.
func (a *auditLog) Stats(ctx context.Context, p hub.Principal, q api.AuditQuery) (api.AuditStats, error) {
	st := audit.Stats{Actions: map[string]int64{}, Resources: map[string]int64{}}
	filter := filterOf(q)
	err := a.scan(ctx, p.Tenant, q, math.MaxInt64, func(e hub.AuditEntry) bool {
		if filter.Match(&e) {
			st.Add(&e)
		}
		return true
	})
	return api.AuditStats{Total: st.Total, Actions: st.Actions, Resources: st.Resources}, err
}

// Export writes entries oldest first. Only an export of the whole log carries
// the checkpoint that covers it.
func (a *auditLog) Export(ctx context.Context, p hub.Principal, format string, q api.AuditQuery, write func([]byte) error) error {
	if err := a.note(ctx, p, "audit.export", q); err != nil {
		return err
	}
	return a.st.View(ctx, func(r *store.Reader) error {
		return ExportAudit(ctx, AuditSource{r, p.Tenant}, a.key, audit.Format(format), filterOf(q), writerFunc(write))
	})
}

type writerFunc func([]byte) error

func (f writerFunc) Write(b []byte) (int, error) { return len(b), f(b) }

// ExportAudit writes the entries of a log that the filter takes.
func ExportAudit(ctx context.Context, src AuditSource, key *audit.Key, format audit.Format, filter *audit.Filter, w io.Writer) error {
	head, err := src.Head(ctx)
	if err != nil {
		return err
	}
	var header audit.Header
	if *filter == (audit.Filter{}) {
		header = audit.Header{Note: head.Note, Key: key.VerifierKey(head.Log)}
	}
	x, err := audit.NewWriter(w, format, header)
	if err != nil {
		return err
	}
	for e, err := range src.Entries(ctx, 0) {
		if err != nil {
			return err
		}
		entry, err := audit.Open(e)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Sequence, err)
		}
		if filter.Match(&entry) {
			if err := x.Write(e); err != nil {
				return err
			}
		}
	}
	return x.Close()
}

// Checkpoint gives the newest signed checkpoint.
func (a *auditLog) Checkpoint(ctx context.Context, t hub.TenantID) (note []byte, err error) {
	err = a.st.View(ctx, func(r *store.Reader) error {
		head, err := r.AuditHead(t)
		note = head.Note
		return err
	})
	if err == nil && note == nil {
		err = hub.E(hub.NotFound, "the audit log is empty")
	}
	return note, err
}

// Proof gives the inclusion proof of an entry in the log as it is now.
func (a *auditLog) Proof(ctx context.Context, t hub.TenantID, id string) (any, error) {
	var out struct {
		audit.Proof
		Checkpoint string `json:"checkpoint"`
	}
	err := a.st.View(ctx, func(r *store.Reader) error {
		head, err := r.AuditHead(t)
		if err != nil {
			return err
		}
		seq, err := findAudit(r, t, id)
		if err != nil {
			return err
		}
		tree := audit.NewTree(func(from, end int64) ([][32]byte, error) { return r.AuditHashes(t, from, end) })
		if err := tree.Grow(head.Size); err != nil {
			return err
		}
		out.Checkpoint = string(head.Note)
		out.Proof, err = tree.Inclusion(seq, head.Size)
		return err
	})
	return out, err
}

// findAudit finds an entry by its id. Ids sort by time, and so do entries, so
// it is looked for from the newest back to where the id was made.
func findAudit(r *store.Reader, t hub.TenantID, id string) (int64, error) {
	seq, openErr := int64(-1), error(nil)
	err := r.AuditEntriesBefore(t, math.MaxInt64, func(e hub.SealedEntry) bool {
		if !bytes.Contains(e.Bytes, []byte(id)) {
			return true
		}
		entry, err := audit.Open(e)
		if openErr = err; err == nil && entry.ID == id {
			seq = e.Sequence
		}
		return err == nil && seq < 0
	})
	if err == nil {
		err = openErr
	}
	if err == nil && seq < 0 {
		err = hub.E(hub.NotFound, "there is no audit entry with this id")
	}
	return seq, err
}

// Verify checks the whole log against the checkpoints inside and outside the
// database.
func (a *auditLog) Verify(ctx context.Context, p hub.Principal) (any, error) {
	kept, err := a.kept()
	if err != nil {
		return nil, err
	}
	var report audit.Report
	err = a.st.View(ctx, func(r *store.Reader) error {
		head, _ := r.AuditHead(p.Tenant) // Verify reads it too, and tells of an error
		opts := audit.Options{Keys: []ed25519.PublicKey{a.key.Public()}}
		opts.Log, opts.Checkpoints = audit.OfLog(kept, p.Tenant, head.Log)
		report = audit.Verify(ctx, AuditSource{r, p.Tenant}, opts)
		report.JudgeHead(head)
		return nil
	})
	if err == nil {
		err = a.note(ctx, p, "audit.verify", api.AuditQuery{})
	}
	return report, err
}

// Denied records that p was refused. It does not wait: a refusal must not be
// slower than a success, and a store that is down refuses everything anyway.
func (a *auditLog) Denied(ctx context.Context, p hub.Principal, permission string) {
	e := hub.Audited(p, "access.denied", strings.SplitN(permission, ":", 2)[0], "")
	e.Outcome, e.ResponseStatus = hub.AuditDenied, 403
	e.Details = new(hub.Details).Str("permission", permission).Value()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = a.st.Do(ctx, func(tx *store.Tx) error { tx.Audit(e); return nil }) // the refusal stands either way
}
