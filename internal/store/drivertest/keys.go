package drivertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// Whatever comes from outside and is looked for may be long, and may be no proper
// text: it is found again, and told from others that differ at the end.
func testLongKeys(t *testing.T, k Kit) {
	s := k.store(t)
	random := make([]byte, 20_000) // cannot be packed into a key
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(random)
	random[7] = 0
	names := []string{string(random) + "a", string(random) + "b", string(random)}
	for i, name := range names {
		do(t, s, func(tx *store.Tx) error {
			e := entry("add", fmt.Sprint(i))
			e.UserID, e.ResourceType = name, name
			tx.Audit(e)
			f := &hub.Finding{ID: hub.FindingID(fmt.Sprint("fnd_", i)), Tenant: tenant, AssetID: name, Type: name, Source: name}
			tx.AddFinding(f, hub.Triage{Finding: f.ID}, []byte("{}"))
			tx.AppendMessage(&store.MessageRow{Pos: int64(i + 1), Tenant: "default", ID: name, Key: name, Headers: name})
			return errors.Join(tx.AddPlaybookStart(tenant, "p", name, time.Unix(int64(i+1), 0)), tx.PutMeta(fmt.Sprint(i), name))
		})
	}
	view(t, s, func(r *store.Reader) error {
		for i, name := range names {
			ranges, err := r.AuditRanges(tenant, "user_id", name, 1<<40, 10)
			same(t, "entries of a long name", ranges, [][2]int64{{int64(i), int64(i)}})
			starts, err2 := r.PlaybookStarts(tenant, "p", name, time.Unix(0, 0))
			if len(starts) != 1 || !starts[0].Equal(time.Unix(int64(i+1), 0)) {
				t.Errorf("starts of a long key are %v", starts)
			}
			n, err3 := r.CountFindings(tenant, &store.FindingFilter{AssetID: []string{name}, Type: []string{name}})
			same(t, "findings of a long name", n, int64(1))
			same(t, "long value", must[string](t)(r.Meta(fmt.Sprint(i))), name)
			m, err4 := r.FindMessage("default", name, 0, 10, 10)
			if m == nil || m.Key != name || m.Headers != name {
				t.Errorf("message %d of a long id is not found", i)
			}
			if err := errors.Join(err, err2, err3, err4); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
}
