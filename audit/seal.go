package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
)

// A Sealer makes audit entries final. It has no state but its key, so calls may
// overlap; that two of them do not continue from the same head is for the
// caller to see to.
type Sealer struct {
	key        *Key
	deployment string
	now        func() time.Time
}

// NewSealer makes a sealer for the logs of one deployment, whose name is part of
// theirs; where it is empty, the key's is used. now may be nil for the time of
// the machine.
func NewSealer(key *Key, deployment string, now func() time.Time) *Sealer {
	if deployment == "" {
		deployment = key.ID()
	}
	if now == nil {
		now = time.Now
	}
	return &Sealer{key: key, deployment: deployment, now: now}
}

// Key gives the key that the sealer signs with.
func (s *Sealer) Key() *Key { return s.key }

// Log gives the name of a tenant's first log: tocsin/<deployment>/<tenant>/1. The
// last part counts up when a log must be begun anew, such as after a restore
// from a backup.
func (s *Sealer) Log(tenant hub.TenantID) string {
	return "tocsin/" + escapeName(s.deployment) + "/" + escapeName(string(tenant)) + "/1"
}

// escapeName writes what the name of a log cannot hold as %XX.
func escapeName(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Seal puts entries behind head: it gives them their sequence numbers, one time
// that is not before that of the entry in front, the hash of that entry, and an
// id where there is none; then it signs what the log is now. It returns the
// entries in final form and the head after them, and changes neither argument.
//
// Nothing in an entry makes it fail. It fails for a head that cannot be, for an
// entry of another tenant, and if the bytes changed in memory under its hands.
func (s *Sealer) Seal(head hub.AuditHead, entries []hub.AuditEntry) ([]hub.SealedEntry, hub.AuditHead, error) {
	if len(entries) == 0 {
		return nil, head, nil
	}
	if head.Log == "" && head.Size == 0 {
		head.Log = s.Log(head.Tenant)
	}
	if err := checkShape(head); err != nil {
		return nil, head, err
	}
	if head.Size > maxInt-int64(len(entries)) {
		return nil, head, errors.New("the audit log is full")
	}
	next := head
	next.Time = max(s.now().UnixMicro(), head.Time)
	sealed, err := chain(&next, entries)
	if err != nil {
		return nil, head, err
	}
	if err := extend(&next, sealed); err != nil {
		return nil, head, err
	}
	next.Note, err = s.key.signCheckpoint(Checkpoint{Log: next.Log, Size: next.Size, Root: root(next.Frontier)})
	return sealed, next, err
}

// chain encodes entries into one buffer and moves next.Last on.
func chain(next *hub.AuditHead, entries []hub.AuditEntry) ([]hub.SealedEntry, error) {
	total := 0
	for i := range entries {
		total += sizeHint(&entries[i])
	}
	enc := newEncoder(next.Log, string(next.Tenant), next.Time)
	buf := make([]byte, 0, total+len(entries)*(len(enc.log)+len(enc.tenant)))
	sealed := make([]hub.SealedEntry, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Tenant != next.Tenant {
			return nil, fmt.Errorf("an entry of tenant %.80q is in the audit log of %.80q", e.Tenant, next.Tenant)
		}
		if e.ID == "" {
			named := *e
			named.ID = ident.New(hub.PrefixAudit)
			e = &named
		}
		// The hash is of a zero byte and the entry, so they stand side by side.
		buf = append(buf, 0)
		start := len(buf)
		buf = enc.entry(buf, next.Size+int64(i), &next.Last, e)
		next.Last = sha256.Sum256(buf[start-1:])
		// Where buf grew since, the entries before stay in the old one.
		sealed[i] = hub.SealedEntry{Sequence: next.Size + int64(i), Hash: next.Last, Bytes: buf[start:len(buf):len(buf)]}
	}
	return sealed, nil
}

// extend puts sealed entries into the tree. It hashes the bytes again as they
// will be stored: a bit that flipped in memory after the first hash would make
// every later checkpoint worthless.
func extend(next *hub.AuditHead, sealed []hub.SealedEntry) error {
	grown := make([][32]byte, len(next.Frontier), bits.Len64(uint64(next.Size)+uint64(len(sealed)))+1)
	copy(grown, next.Frontier)
	var scratch []byte
	for i := range sealed {
		e := &sealed[i]
		scratch = append(append(scratch[:0], 0), e.Bytes...)
		if sha256.Sum256(scratch) != e.Hash {
			return fmt.Errorf("audit entry %d changed in memory while it was sealed; the transaction must not be committed", e.Sequence)
		}
		grown = grow(grown, next.Size, e.Hash)
		next.Size++
	}
	next.Frontier = grown
	return nil
}
