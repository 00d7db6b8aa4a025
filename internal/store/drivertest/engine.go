package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tocsin/tocsin/internal/store/driver"
)

const putMeta = "INSERT INTO meta (name, value) VALUES ($1, $2)"

// write runs fn in a transaction and commits it.
func write(t testing.TB, e driver.Engine, fn func(driver.Tx)) {
	t.Helper()
	tx := begin(t, e)
	fn(tx)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	tx.Rollback() // must be safe
}

func begin(t testing.TB, e driver.Engine) driver.Tx {
	t.Helper()
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func exec(t testing.TB, tx driver.Tx, query string, args ...any) int64 {
	t.Helper()
	n, err := tx.Exec(query, args)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// names gives what the table meta holds, in order.
func names(t testing.TB, q driver.Querier) string {
	t.Helper()
	var all []string
	err := q.Query("SELECT name FROM meta ORDER BY name", nil, func(v []any) error {
		all = append(all, v[0].(string))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func snapshot(t testing.TB, e driver.Engine) driver.Snapshot {
	t.Helper()
	s, err := e.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantNames(t testing.TB, e driver.Engine, want string) {
	t.Helper()
	s := snapshot(t, e)
	defer s.Close()
	if got := names(t, s); got != want {
		t.Errorf("the database holds %q, want %q", got, want)
	}
}

func testCommit(t *testing.T, k Kit) {
	place := k.Place(t)
	e := k.open(t, place)
	write(t, e, func(tx driver.Tx) { exec(t, tx, putMeta, "a", "1") })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = k.open(t, place)
	defer e.Close()
	wantNames(t, e, "a")
	if err := e.Maintain(); err != nil {
		t.Error(err)
	}
}

func testRollback(t *testing.T, k Kit) {
	e := k.fresh(t)
	tx := begin(t, e)
	exec(t, tx, putMeta, "a", "1")
	if got := names(t, tx); got != "a" {
		t.Errorf("the transaction sees %q of its own, want a", got)
	}
	tx.Rollback()
	tx.Rollback()
	wantNames(t, e, "")
	write(t, e, func(tx driver.Tx) { exec(t, tx, putMeta, "b", "1") })
	wantNames(t, e, "b")
}

func testSavepoints(t *testing.T, k Kit) {
	e := k.fresh(t)
	step := func(tx driver.Tx, end func() error, rows ...string) {
		t.Helper()
		if err := tx.Savepoint(); err != nil {
			t.Fatal(err)
		}
		for _, name := range rows {
			exec(t, tx, putMeta, name, "1")
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, e, func(tx driver.Tx) {
		exec(t, tx, putMeta, "before", "1")
		step(tx, tx.Release, "kept1")
		step(tx, tx.Undo, "gone1", "gone2")
		step(tx, tx.Undo)
		step(tx, tx.Release, "kept2", "gone1") // what was undone can be done again
		exec(t, tx, putMeta, "later", "1")
	})
	wantNames(t, e, "before gone1 kept1 kept2 later")
	tx := begin(t, e)
	step(tx, tx.Release, "never")
	tx.Rollback()
	wantNames(t, e, "before gone1 kept1 kept2 later")
}

func testSnapshot(t *testing.T, k Kit) {
	e := k.fresh(t)
	write(t, e, func(tx driver.Tx) { exec(t, tx, putMeta, "a", "1") })
	old := snapshot(t, e)
	if got := names(t, old); got != "a" { // its first query settles what it sees
		t.Errorf("a snapshot sees %q, want a", got)
	}
	tx := begin(t, e)
	exec(t, tx, putMeta, "b", "1")
	wantNames(t, e, "a")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, old); got != "a" {
		t.Errorf("an open snapshot sees %q after a commit, want a", got)
	}
	old.Close()
	wantNames(t, e, "a b")
}

// Snapshots never see half a transaction, while there is always one going on.
func testSnapshotsBesideWriter(t *testing.T, k Kit) {
	e := k.fresh(t)
	write(t, e, func(tx driver.Tx) {
		exec(t, tx, "INSERT INTO counters (name, value) VALUES ($1, $3), ($2, $3)", "left", "right", int64(500))
	})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				checkSum(t, e)
			}
		})
	}
	for i := range 200 {
		write(t, e, func(tx driver.Tx) {
			exec(t, tx, "UPDATE counters SET value = value - $2 WHERE name = $1", "left", int64(i))
			exec(t, tx, "UPDATE counters SET value = value + $2 WHERE name = $1", "right", int64(i))
		})
	}
	close(stop)
	readers.Wait()
}

func checkSum(t *testing.T, e driver.Engine) {
	s, err := e.Snapshot(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	var sum int64
	for _, name := range []string{"left", "right"} {
		err := s.Query("SELECT value FROM counters WHERE name = $1", []any{name}, func(v []any) error {
			sum += v[0].(int64)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if sum != 1000 {
		t.Errorf("a snapshot sees a sum of %d, want 1000", sum)
	}
}

func testSnapshotContext(t *testing.T, k Kit) {
	e := k.fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	var open []driver.Snapshot
	defer func() {
		for _, s := range open {
			s.Close()
		}
	}()
	for range 3 {
		open = append(open, snapshot(t, e))
	}
	done := make(chan struct{})
	go func() { // takes what is left of them, and waits for more
		defer close(done)
		for {
			s, err := e.Snapshot(ctx)
			if err != nil {
				return
			}
			open = append(open, s)
		}
	}()
	cancel()
	<-done
}

func testParameters(t *testing.T, k Kit) {
	e := k.fresh(t)
	write(t, e, func(tx driver.Tx) {
		exec(t, tx, "INSERT INTO meta (value, name) VALUES ($2, $1), ($1, $2)", "a", "b")
		exec(t, tx, "UPDATE meta SET value = $3 WHERE name = $1 AND value = $2", "a", "b", "changed")
	})
	s := snapshot(t, e)
	defer s.Close()
	var got []any
	err := s.Query("SELECT name, value FROM meta WHERE name = $2 OR value = $1 OR name = $1 ORDER BY name", []any{"a", "x"}, func(v []any) error {
		got = append(got, v[0], v[1])
		return nil
	})
	if err != nil || fmt.Sprint(got) != "[a changed b a]" {
		t.Errorf("got %v, want [a changed b a]; error %v", got, err)
	}
}

// insertAlert has a column of every type; risk may be NULL.
const insertAlert = `INSERT INTO alerts (n, tenant, id, changed, version, status, severity, type, source, asset_id, account, assignee, risk, created_at, updated_at, doc)
	VALUES ($1, $2, $3, $1, $4, '', '', '', '', '', '', '', $5, 0, 0, $6)`

var values = []struct {
	whole   any
	text    string
	real    any
	bytes   []byte
	isWhole int64
	isReal  any
}{
	{int64(0), "", nil, []byte{}, 0, nil},
	{int64(math.MaxInt64), "é世界 \"'; -- \t\n", 0.1, []byte{0, 1, 0, 255, 0}, math.MaxInt64, 0.1},
	{int64(math.MinInt64), "$1 ?", -math.MaxFloat64, []byte("{}"), math.MinInt64, -math.MaxFloat64},
	{7, "int", (*float64)(nil), []byte{0}, 7, nil},
	{true, "bool", new(2.5), []byte{1}, 1, 2.5},
	{false, "bool too", 3.0, bytes.Repeat([]byte{0}, 1000), 0, 3.0},
	{-1, "\x00 zero \x00\x01\x01\x02 one \x02\x7f", 1e-300, []byte{}, -1, 1e-300},
	{2, "not UTF-8: \xff\xfe\x00 \xe4\xb8 \xed\xa0\x80 \xc3\xa9", 0.0, []byte{}, 2, 0.0},
	{3, strings.Repeat("k", 2000), 0.0, []byte{}, 3, 0.0}, // a key
}

func testValues(t *testing.T, k Kit) {
	e := k.fresh(t)
	write(t, e, func(tx driver.Tx) {
		for i, v := range values {
			exec(t, tx, insertAlert, int64(i+1), v.text, fmt.Sprint(i), v.whole, v.real, v.bytes)
		}
	})
	s := snapshot(t, e)
	defer s.Close()
	for i, want := range values {
		found := false
		err := s.Query("SELECT version, tenant, risk, doc FROM alerts WHERE n = $1 AND tenant = $2 AND doc = $3", []any{int64(i + 1), want.text, want.bytes}, func(v []any) error {
			found = true
			b, isBytes := v[3].([]byte)
			if v[0] != want.isWhole || v[1] != want.text || v[2] != want.isReal || !isBytes || !bytes.Equal(b, want.bytes) {
				t.Errorf("row %d came back as %#v", i, v)
			}
			return nil
		})
		if err != nil || !found {
			t.Errorf("row %d is found: %v, error %v", i, found, err)
		}
	}
}

// Texts sort by their bytes, in indexes too.
func testOrder(t *testing.T, k Kit) {
	e := k.fresh(t)
	want := []string{"", "\x00", "\x01", "\x02", " ", "-", "A", "AB", "A\u00e9", "B", "Z", "_", "a", "a b", "a-b", "aa", "ab", "b", "z", "~", "\u00e9", "\u4e16", "\U0001f600"}
	write(t, e, func(tx driver.Tx) {
		for i := range want {
			name := want[(i*7)%len(want)]
			exec(t, tx, putMeta, name, "1")
			exec(t, tx, insertAlert, i, name, name, 1, nil, []byte{})
		}
	})
	s := snapshot(t, e)
	defer s.Close()
	for query, args := range map[string][]any{
		"SELECT name FROM meta ORDER BY name":                                                                  nil,
		"SELECT name FROM meta WHERE name >= $1 ORDER BY name":                                                 {""},
		"SELECT id FROM alerts ORDER BY tenant, changed":                                                       nil,
		"SELECT tenant FROM (SELECT tenant, row_number() OVER (ORDER BY id) AS n FROM alerts) AS a ORDER BY n": nil,
	} {
		var got []string
		err := s.Query(query, args, func(v []any) error {
			got = append(got, v[0].(string))
			return nil
		})
		if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s gives\n%q, want\n%q; error %v", query, got, want, err)
		}
	}
}

func testValuesKept(t *testing.T, k Kit) {
	e := k.fresh(t)
	const n = 50
	write(t, e, func(tx driver.Tx) {
		for i := range n {
			exec(t, tx, insertAlert, int64(i), fmt.Sprint("tenant", i), fmt.Sprint(i), 1, nil, fmt.Appendf(nil, "doc%03d", i))
		}
	})
	s := snapshot(t, e)
	defer s.Close()
	var texts []string
	var docs [][]byte
	err := s.Query("SELECT tenant, doc FROM alerts ORDER BY n", nil, func(v []any) error {
		texts, docs = append(texts, v[0].(string)), append(docs, v[1].([]byte))
		return nil
	})
	if err != nil || len(docs) != n {
		t.Fatalf("%d rows, error %v", len(docs), err)
	}
	for i := range n {
		if texts[i] != fmt.Sprint("tenant", i) || string(docs[i]) != fmt.Sprintf("doc%03d", i) {
			t.Errorf("row %d has become %s, %s", i, texts[i], docs[i])
		}
	}
}

func testBigValues(t *testing.T, k Kit) {
	e := k.fresh(t)
	doc, text := bytes.Repeat([]byte{0, 1, 2, 3}, 2<<20), strings.Repeat("é", 1<<20)
	write(t, e, func(tx driver.Tx) {
		exec(t, tx, "INSERT INTO messages (pos, tenant, id, key, at, headers, payload) VALUES (1, '', '', '', 0, $1, $2)", text, doc)
	})
	s := snapshot(t, e)
	defer s.Close()
	err := s.Query("SELECT headers, payload FROM messages", nil, func(v []any) error {
		if v[0] != text || !bytes.Equal(v[1].([]byte), doc) {
			t.Error("a big value came back changed")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func testUnique(t *testing.T, k Kit) {
	e := k.fresh(t)
	write(t, e, func(tx driver.Tx) {
		exec(t, tx, putMeta, "a", "1")
		exec(t, tx, insertAlert, 1, "t", "same", 1, nil, []byte{})
		for _, c := range []struct {
			query string
			args  []any
		}{{putMeta, []any{"a", "2"}}, {insertAlert, []any{2, "t", "same", 1, nil, []byte{}}}, {insertAlert, []any{1, "t", "other", 1, nil, []byte{}}}} {
			if err := tx.Savepoint(); err != nil {
				t.Fatal(err)
			}
			_, err := tx.Exec(c.query, c.args)
			if driver.KindOf(err) != driver.Unique || driver.Broken(err) {
				t.Errorf("a row whose key exists gives %v, want kind %q", err, driver.Unique)
			}
			if err := tx.Undo(); err != nil {
				t.Fatal(err)
			}
		}
		exec(t, tx, putMeta, "b", "1")
	})
	wantNames(t, e, "a b")
}

func testRowError(t *testing.T, k Kit) {
	e := k.fresh(t)
	write(t, e, func(tx driver.Tx) {
		exec(t, tx, putMeta, "a", "1")
		exec(t, tx, putMeta, "b", "1")
	})
	stop := errors.New("stop")
	for range 3 {
		s, calls := snapshot(t, e), 0
		err := s.Query("SELECT name FROM meta ORDER BY name", nil, func([]any) error {
			calls++
			return stop
		})
		if err != stop || calls != 1 { //nolint:errorlint // it must be the very error
			t.Errorf("the query called %d times and gives %v, want once and its error", calls, err)
		}
		if got := names(t, s); got != "a b" {
			t.Errorf("the same snapshot then gives %q", got)
		}
		if err := s.Query("SELECT nonsense FROM nowhere", nil, nil); err == nil || driver.Broken(err) {
			t.Errorf("a query that makes no sense gives %v", err)
		}
		s.Close()
	}
}

func testRowsAffected(t *testing.T, k Kit) {
	e := k.fresh(t)
	write(t, e, func(tx driver.Tx) {
		got := []int64{
			exec(t, tx, "INSERT INTO meta (name, value) VALUES ($1, $4), ($2, $4), ($3, $4)", "a", "b", "c", "1"),
			exec(t, tx, "UPDATE meta SET value = $2 WHERE name <= $1", "b", "2"),
			exec(t, tx, "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", "a", "3"),
			exec(t, tx, "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", "a", "4"),
			exec(t, tx, "DELETE FROM meta WHERE value = $1", "1"),
			exec(t, tx, "DELETE FROM meta WHERE value = $1", "1"),
		}
		if fmt.Sprint(got) != "[3 2 1 0 1 0]" {
			t.Errorf("the statements changed %v rows, want [3 2 1 0 1 0]", got)
		}
	})
}

// Statements that are sent run in their order with the others, and none of their
// errors is lost: the transaction is not committed.
func testSent(t *testing.T, k Kit) {
	e := k.fresh(t)
	missing := errors.New("missing")
	const change = "UPDATE meta SET value = $2 WHERE name = $1"
	one := func(tx driver.Tx, name string) error {
		return tx.SendOne(change, []any{name, "2"}, func() error { return missing })
	}
	send := func(tx driver.Tx, name string) error { return tx.Send(putMeta, []any{name, "1"}) }
	write(t, e, func(tx driver.Tx) {
		if err := errors.Join(send(tx, "a"), one(tx, "a"), send(tx, "b")); err != nil {
			t.Error(err)
		}
		if n := exec(t, tx, "DELETE FROM meta WHERE value = '1'"); n != 1 {
			t.Errorf("removed %d rows, want b alone", n)
		}
		for i := range 2000 { // more than fit on the way
			if err := errors.Join(send(tx, fmt.Sprint("c", i)), one(tx, fmt.Sprint("c", i))); err != nil {
				t.Fatal(err)
			}
		}
		if n := exec(t, tx, "DELETE FROM meta WHERE name <> 'a' AND value = '2'"); n != 2000 {
			t.Errorf("removed %d rows, want 2000", n)
		}
	})
	wantNames(t, e, "a")
	for name, bad := range map[string]func(tx driver.Tx) error{
		"twice":      func(tx driver.Tx) error { return errors.Join(send(tx, "a"), send(tx, "d")) },
		"missing":    func(tx driver.Tx) error { return errors.Join(one(tx, "nobody"), send(tx, "d")) },
		"a bad text": func(tx driver.Tx) error { return errors.Join(tx.Send("UPDATE nonsense", nil), send(tx, "d")) },
	} {
		for how, next := range map[string]func(tx driver.Tx) error{
			"commit": driver.Tx.Commit,
			"query": func(tx driver.Tx) error {
				return tx.Query("SELECT name FROM meta", nil, func([]any) error { return nil })
			},
			"exec": func(tx driver.Tx) error { _, err := tx.Exec(change, []any{"a", "3"}); return err },
		} {
			tx := begin(t, e)
			err := bad(tx)
			if err == nil {
				err = next(tx)
			}
			if err == nil || driver.Broken(err) || errors.Is(err, missing) != (name == "missing") {
				t.Errorf("%s, then %s: got %v", name, how, err)
			}
			tx.Rollback()
		}
		write(t, e, func(tx driver.Tx) {
			exec(t, tx, change, "a", "2")
			if err := tx.Savepoint(); err != nil {
				t.Fatal(err)
			}
			err := bad(tx)
			if err == nil {
				err = tx.Release()
			}
			if err == nil || errors.Is(err, missing) != (name == "missing") {
				t.Errorf("%s in a savepoint: got %v", name, err)
			}
			if err := tx.Undo(); err != nil {
				t.Error(err)
			}
		})
		wantNames(t, e, "a")
	}
}

// Lists with filters make many texts; the cache of prepared statements must not
// take one away whose rows are being read.
func testManyStatements(t *testing.T, k Kit) {
	e := k.fresh(t)
	write(t, e, func(tx driver.Tx) {
		for i := range 1500 {
			exec(t, tx, fmt.Sprintf("INSERT INTO meta (name, value) VALUES ($1, 'v%d')", i%700), fmt.Sprint(i))
		}
	})
	s := snapshot(t, e)
	defer s.Close()
	n := 0
	for i := range 700 {
		err := s.Query(fmt.Sprintf("SELECT name FROM meta WHERE value = 'v%d'", i), nil, func([]any) error {
			n++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n != 1500 {
		t.Errorf("700 queries found %d rows, want 1500", n)
	}
}

func testBackup(t *testing.T, k Kit) {
	e := k.fresh(t)
	write(t, e, func(tx driver.Tx) { exec(t, tx, putMeta, "a", "1") })
	path := filepath.Join(t.TempDir(), "copy")
	if !k.Backups {
		err := e.Backup(t.Context(), path)
		if err == nil || !strings.Contains(err.Error(), path) { // it names what to run
			t.Errorf("an engine that writes no backups gave %v, want what to use instead", err)
		}
		return
	}
	open := snapshot(t, e) // a backup goes on beside everything else
	defer open.Close()
	tx := begin(t, e)
	exec(t, tx, putMeta, "b", "1")
	if err := e.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := e.Backup(t.Context(), path); err == nil {
		t.Error("a backup over an older one was accepted")
	}
	copied := k.open(t, path)
	defer copied.Close()
	wantNames(t, copied, "a")
	wantNames(t, e, "a b")
}
