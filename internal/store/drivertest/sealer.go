package drivertest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// A sealer chains entries in the simplest way there is. It refuses an entry with
// the action "refuse".
type sealer struct{}

func (sealer) Log(t hub.TenantID) string { return "log of " + string(t) }

func (sealer) Seal(head hub.AuditHead, entries []hub.AuditEntry) ([]hub.SealedEntry, hub.AuditHead, error) {
	var all []hub.SealedEntry
	for i := range entries {
		if entries[i].Action == "refuse" {
			return nil, head, errors.New("refused by the sealer")
		}
		s := hub.SealedEntry{Sequence: head.Size, Bytes: sealed(head, &entries[i])}
		s.Hash = sha256.Sum256(s.Bytes)
		all = append(all, s)
		head.Size, head.Last, head.Time = head.Size+1, s.Hash, head.Time+1
	}
	head.Note = fmt.Appendf(nil, "size %d", head.Size)
	return all, head, nil
}

func sealed(head hub.AuditHead, e *hub.AuditEntry) []byte {
	return fmt.Appendf(nil, "%d %x %s", head.Size, head.Last, e.ResourceID)
}

// checkChain verifies a tenant's log against its head and gives what it tells of.
func checkChain(t testing.TB, r *store.Reader, tenant hub.TenantID) (subjects []string) {
	t.Helper()
	want, err := r.AuditHead(tenant)
	if err != nil {
		t.Error(err)
	}
	var head hub.AuditHead
	err = r.AuditEntries(tenant, 0, 1<<40, func(e hub.SealedEntry) bool {
		prefix := sealed(head, new(hub.AuditEntry))
		if e.Sequence != head.Size || !bytes.HasPrefix(e.Bytes, prefix) || sha256.Sum256(e.Bytes) != e.Hash {
			t.Errorf("entry %d holds %s, want it to begin with %s", e.Sequence, e.Bytes, prefix)
		}
		subjects = append(subjects, string(e.Bytes[len(prefix):]))
		head.Size, head.Last = head.Size+1, e.Hash
		return true
	})
	if err != nil || head.Size != want.Size || head.Last != want.Last {
		t.Errorf("the log has %d entries and its head says %d, or their hashes differ; error %v", head.Size, want.Size, err)
	}
	return subjects
}
