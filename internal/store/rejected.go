package store

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// Bounds of what is kept of rejected items.
const (
	KeptRejects    = 100      // of a connector; the newest
	maxRejectBytes = 16 << 10 // of an item
)

// A Rejected is an item that a source sent, or listed, and that could not be used.
type Rejected struct {
	N     int64     `json:"n"` // its number among the connector's, from 1
	At    time.Time `json:"at"`
	Index int       `json:"index"` // in its request or page
	Error string    `json:"error"`
	Item  string    `json:"item,omitempty"`  // as it came, if that is known; its beginning, if it is long
	Bytes int       `json:"bytes,omitempty"` // of the whole item
}

// slot is where the nth rejected item of a connector is kept: in the place of one
// that is a hundred older. Rows of the table meta are shared by all tenants; the
// tenant is in the name.
func slot(tenant hub.TenantID, connector string, n int64) string {
	return rejectedOf(tenant, connector) + "/" + strconv.FormatInt(n%KeptRejects, 10)
}

func rejectedOf(tenant hub.TenantID, connector string) string {
	return "rejected/" + string(tenant) + "/" + connector
}

// KeepRejected keeps items for people to look at. N, At and Bytes are filled in.
func (tx *Tx) KeepRejected(tenant hub.TenantID, connector string, items []Rejected) error {
	if len(items) == 0 {
		return nil
	}
	if len(items) > KeptRejects {
		items = items[len(items)-KeptRejects:]
	}
	n := tx.Counter(rejectedOf(tenant, connector), int64(len(items))) - int64(len(items))
	for _, it := range items {
		n++
		it.N, it.At, it.Bytes = n, tx.Now(), len(it.Item)
		it.Item, it.Error = shorten(it.Item), shorten(it.Error)
		doc, err := json.Marshal(it)
		if err != nil {
			return err
		}
		if err := tx.PutMeta(slot(tenant, connector, n), string(doc)); err != nil {
			return err
		}
	}
	return nil
}

// shorten cuts a text at its bound, and makes it one that every database keeps.
func shorten(s string) string {
	cut := min(len(s), maxRejectBytes)
	for cut < len(s) && cut > maxRejectBytes-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.ToValidUTF8(s[:cut], "\uFFFD")
}

// Rejected gives the items of a connector that are kept, the newest first.
func (r *Reader) Rejected(tenant hub.TenantID, connector string) ([]Rejected, error) {
	slots := make([]any, KeptRejects)
	for i := range slots {
		slots[i] = slot(tenant, connector, int64(i))
	}
	all := []Rejected{}
	err := queryIn(r, "SELECT value FROM meta WHERE name IN (?)", nil, slots, func(v []any) error {
		all = append(all, Rejected{})
		return decode([]byte(v[0].(string)), &all[len(all)-1])
	})
	slices.SortFunc(all, func(a, b Rejected) int { return cmp.Compare(b.N, a.N) })
	return all, err
}
