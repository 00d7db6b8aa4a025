package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"strings"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// A storedLog is a tenant's audit log in a database, as one snapshot has it. It
// implements [audit.Source].
//
// It reads the rows itself and not through the store: there a damaged row is an
// error that ends everything, here it is what is looked for.
type storedLog struct {
	q      driver.Querier
	close  func() error
	tenant hub.TenantID
	head   hub.AuditHead
	empty  bool // the database knows nothing of the tenant
}

// sqliteMagic begins every SQLite file.
const sqliteMagic = "SQLite format 3\x00"

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// openEngine opens a database, by its path or URL. It makes none: a file that is
// missing or is no database is an error.
func openEngine(ctx context.Context, database string) (driver.Engine, error) {
	if isPostgres(database) {
		engine, err := postgres.Open(ctx, postgres.Options{URL: database, PoolSize: 1, ReadOnly: true})
		if err != nil {
			return nil, fmt.Errorf("the database cannot be opened (%w); look at host, name and password", err)
		}
		return engine, nil
	}
	if err := looksLikeSQLite(database); err != nil {
		return nil, err
	}
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: database, CacheBytes: 16 << 20, Readers: 1, ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("the database %s cannot be opened (%w); %s", database, err, adviceFor(err))
	}
	return engine, nil
}

// openLog opens a tenant's log in a database.
func openLog(ctx context.Context, database string, tenant hub.TenantID) (*storedLog, error) {
	engine, err := openEngine(ctx, database)
	if err != nil {
		return nil, err
	}
	snap, err := engine.Snapshot(ctx)
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	l := &storedLog{q: snap, tenant: tenant, head: hub.AuditHead{Tenant: tenant}}
	l.close = func() error {
		snap.Close()
		return engine.Close()
	}
	if err := l.look(); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func adviceFor(err error) string {
	switch driver.KindOf(err) {
	case driver.Corrupt:
		return "it is damaged: look at a backup or an export instead"
	case driver.ReadOnly:
		return "copy it with its -wal file to a folder that can be written, and name that"
	}
	return "look whether it is whole and can be read and written"
}

func looksLikeSQLite(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w; name the hub's data folder with --data, or its database with --store", err)
	}
	defer f.Close()
	start := make([]byte, len(sqliteMagic))
	if _, err := io.ReadFull(f, start); err != nil || string(start) != sqliteMagic {
		return fmt.Errorf("%s is no database of a hub; name the hub's data folder with --data", path)
	}
	return nil
}

// look reads the head, and whether there is anything at all.
func (l *storedLog) look() error {
	l.empty = true
	err := l.q.Query("SELECT log, size, last, time, frontier, note FROM audit_heads WHERE tenant = $1", []any{string(l.tenant)}, func(v []any) error {
		l.head = headOf(l.tenant, v)
		l.empty = false
		return nil
	})
	if err != nil || !l.empty {
		return err
	}
	return l.q.Query(`SELECT 1 WHERE EXISTS (SELECT 1 FROM audit_entries WHERE tenant = $1) OR EXISTS (SELECT 1 FROM audit_notes WHERE tenant = $1)`,
		[]any{string(l.tenant)}, func([]any) error {
			l.empty = false
			return nil
		})
}

// headOf reads a stored head. What is damaged in it is kept in such a way that
// it differs from the right one.
func headOf(tenant hub.TenantID, v []any) hub.AuditHead {
	h := hub.AuditHead{Tenant: tenant, Log: textOf(v[0]), Size: intOf(v[1]), Time: intOf(v[3]), Note: bytesOf(v[5])}
	if last := bytesOf(v[2]); len(last) == len(h.Last) {
		copy(h.Last[:], last)
	}
	frontier := bytesOf(v[4])
	for len(frontier) > 0 {
		var node [32]byte
		frontier = frontier[copy(node[:], frontier):]
		h.Frontier = append(h.Frontier, node)
	}
	return h
}

func textOf(v any) string { s, _ := v.(string); return s }

func intOf(v any) int64 {
	if n, ok := v.(int64); ok {
		return n
	}
	return -1
}

func bytesOf(v any) []byte {
	switch b := v.(type) {
	case []byte:
		return b
	case string:
		return []byte(b)
	}
	return nil
}

// Head gives the end of the log as it is stored.
func (l *storedLog) Head(context.Context) (hub.AuditHead, error) { return l.head, nil }

// Notes gives the checkpoints kept over time.
func (l *storedLog) Notes(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		err := l.q.Query("SELECT note FROM audit_notes WHERE tenant = $1 ORDER BY size", []any{string(l.tenant)}, func(v []any) error {
			return goOn(yield(bytes.Clone(bytesOf(v[0])), nil))
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// chunk is how many entries are asked for at a time: an answer may be held in
// memory as a whole.
const chunk = 2000

// Entries gives the entries in the order in which they were stored, which is
// not taken from their numbers, so that one that was moved is seen.
func (l *storedLog) Entries(ctx context.Context, from int64) iter.Seq2[hub.SealedEntry, error] {
	return func(yield func(hub.SealedEntry, error) bool) {
		for after, n := int64(math.MinInt64), chunk; n == chunk; {
			n = 0
			err := l.q.Query("SELECT n, seq, hash, entry FROM audit_entries WHERE tenant = $1 AND seq >= $2 AND n > $3 ORDER BY n LIMIT $4", []any{string(l.tenant), from, after, int64(chunk)}, func(v []any) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				n++
				after = intOf(v[0])
				e := hub.SealedEntry{Sequence: intOf(v[1]), Bytes: bytesOf(v[3])}
				if hash := bytesOf(v[2]); len(hash) == len(e.Hash) {
					copy(e.Hash[:], hash)
				}
				return goOn(yield(e, nil))
			})
			if errors.Is(err, errStopped) {
				return
			}
			if err != nil {
				yield(hub.SealedEntry{}, err)
				return
			}
		}
	}
}

// errStopped ends a query whose reader wants no more.
var errStopped = errors.New("ops: stopped")

func goOn(more bool) error {
	if more {
		return nil
	}
	return errStopped
}

var _ audit.Source = (*storedLog)(nil)
