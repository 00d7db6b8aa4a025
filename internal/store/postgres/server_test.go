package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/test/services"
)

func engine(t testing.TB, opts postgres.Options) *postgres.Engine {
	t.Helper()
	e, err := postgres.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// open gives a store that ends with the test.
func open(t testing.TB, opts postgres.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), engine(t, opts), store.Options{ProbeEvery: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(s *store.Store, name, value string) error {
	return s.Do(context.Background(), func(tx *store.Tx) error { return tx.PutMeta(name, value) })
}

func get(t testing.TB, s *store.Store, name string) (value string) {
	t.Helper()
	err := s.View(t.Context(), func(r *store.Reader) (err error) {
		value, err = r.Meta(name)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return value
}

// A hub that hangs in its turn loses it, and with it what it wrote: the others
// wait for that long and are then served. Its next turn is like any other.
func TestHangingHubLosesItsTurn(t *testing.T) {
	dsn := services.Postgres(t).DSN(t)
	const turn = 300 * time.Millisecond
	hanging := engine(t, postgres.Options{URL: dsn, Turn: turn})
	defer hanging.Close()
	s := open(t, postgres.Options{URL: dsn, Turn: 5 * time.Second})
	for round := range 3 {
		tx, err := hanging.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Send("INSERT INTO meta (name, value) VALUES ('hung', '1')", nil); err != nil {
			t.Error(err)
		}
		if _, err := tx.Exec("INSERT INTO meta (name, value) VALUES ($1, '1')", []any{fmt.Sprint("hung", round)}); err != nil {
			t.Error(err)
		}
		start := time.Now()
		if err := put(s, "a", "1"); err != nil {
			t.Errorf("another hub got %v", err)
		}
		if d := time.Since(start); d < turn/2 || d > 10*turn {
			t.Errorf("another hub waited %v for one that may hang %v", d, turn)
		}
		if err := tx.Commit(); driver.KindOf(err) != driver.Busy {
			t.Errorf("the hub that hung got %v at its commit, want kind %q", err, driver.Busy)
		}
		tx.Rollback()
		if got := get(t, s, "hung"); got != "" {
			t.Errorf("what the hub that hung wrote is there: %q", got)
		}
	}
}

// Who waits too long for a turn gets an answer in time, and the store is not ill.
func TestWaitForTheTurnEnds(t *testing.T) {
	dsn := services.Postgres(t).DSN(t)
	other := engine(t, postgres.Options{URL: dsn, Turn: time.Minute})
	defer other.Close()
	s := open(t, postgres.Options{URL: dsn, Turn: 300 * time.Millisecond})
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := put(s, "a", "1"); hub.KindOf(err) != hub.Transient || driver.KindOf(err) != driver.Busy {
				t.Errorf("a caller got %v, want a transient error of kind %q", err, driver.Busy)
			}
		})
	}
	all.Wait()
	if d := time.Since(start); d > 6*time.Second {
		t.Errorf("callers waited %v", d)
	}
	if err := s.Health(); err != nil {
		t.Errorf("the store is ill: %v", err)
	}
	tx.Rollback()
	if err := put(s, "a", "2"); err != nil || get(t, s, "a") != "2" {
		t.Errorf("after the other's turn: %q, error %v", get(t, s, "a"), err)
	}
}

// A database that was started anew while nothing went on is used again without
// anybody noticing.
func TestRestartWhileIdle(t *testing.T) {
	server := services.Postgres(t)
	s := open(t, postgres.Options{URL: server.DSN(t), PoolSize: 2})
	if err := put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	for range 3 { // all readers are connected
		get(t, s, "a")
	}
	server.Stop(t)
	server.Start(t)
	if err := s.Health(); err != nil {
		t.Error(err)
	}
	for range 3 {
		if got := get(t, s, "a"); got != "1" {
			t.Errorf("a reader got %q, want 1", got)
		}
	}
	if err := put(s, "a", "2"); err != nil {
		t.Error(err)
	}
}

// A database that says nothing any more is given up in time, and used again when
// it speaks.
func TestSilentServer(t *testing.T) {
	server := services.Postgres(t)
	s := open(t, postgres.Options{URL: server.DSN(t)})
	if err := put(s, "a", "1"); err != nil || get(t, s, "a") != "1" {
		t.Fatal(err)
	}
	server.Pause(t)
	start := time.Now()
	if err := put(s, "a", "2"); hub.KindOf(err) != hub.Transient {
		t.Errorf("a silent database gives %v", err)
	}
	if d := time.Since(start); d > 8*time.Second {
		t.Errorf("the caller waited %v", d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start = time.Now()
	err := s.View(ctx, func(r *store.Reader) error {
		_, err := r.Meta("a")
		return err
	})
	if hub.KindOf(err) != hub.Transient || time.Since(start) > 2*time.Second {
		t.Errorf("after %v a reader with less time got %v", time.Since(start), err)
	}
	server.Resume(t)
	comesBack(t, s)
	if err := put(s, "a", "3"); err != nil || get(t, s, "a") != "3" {
		t.Errorf("after that: %q, error %v", get(t, s, "a"), err)
	}
}

func comesBack(t *testing.T, s *store.Store) {
	t.Helper()
	for start := time.Now(); s.Health() != nil; time.Sleep(time.Millisecond) { // it tries by itself
		if time.Since(start) > 20*time.Second {
			t.Fatalf("the store does not come back: %v", s.Health())
		}
	}
}

// A commit that was not copied to the standby that must have it is not
// acknowledged, though PostgreSQL calls it one.
func TestCommitWithoutStandby(t *testing.T) {
	server := services.Postgres(t)
	dsn := server.DSN(t)
	s := open(t, postgres.Options{URL: dsn})
	// these do not wait for a standby themselves
	alone := "SET synchronous_commit = local"
	ask(t, dsn, alone, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	reset := sync.OnceFunc(func() {
		ask(t, dsn, alone, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	})
	defer reset()
	for len(ask(t, dsn, "SELECT 1 WHERE current_setting('synchronous_standby_names') = 'nobody'")) == 0 {
		time.Sleep(time.Millisecond)
	}
	err := put(s, "a", "1")
	reset()
	if hub.KindOf(err) != hub.Transient {
		t.Errorf("a commit without its standby gives %v", err)
	}
	comesBack(t, s)
	if err := put(s, "b", "1"); err != nil {
		t.Error(err)
	}
}

// What another role may read is one tenant's.
func TestOtherRolesSeeOneTenant(t *testing.T) {
	dsn := services.Postgres(t).DSN(t)
	s := open(t, postgres.Options{URL: dsn})
	for _, tenant := range []hub.TenantID{"one", "two"} {
		err := s.Do(t.Context(), func(tx *store.Tx) error {
			tx.AddEvent(hub.EventRecord{Sequence: tx.NextSequence(), Tenant: tenant, ID: "e", Body: []byte("{}")})
			return tx.PutKey(&store.KeyRow{ID: hub.KeyID(tenant), Tenant: tenant, Hash: []byte(tenant)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ask(t, dsn, "DROP ROLE IF EXISTS reports", "CREATE ROLE reports", "GRANT USAGE ON SCHEMA public TO reports", "GRANT ALL ON ALL TABLES IN SCHEMA public TO reports")
	defer ask(t, dsn, "DROP OWNED BY reports", "DROP ROLE reports")
	as := func(tenant string, query string) string {
		return strings.Join(ask(t, dsn, "SET ROLE reports", "SET tocsin.tenant = '"+tenant+"'", query), " ")
	}
	for _, c := range []struct{ tenant, query, want string }{
		{"one", "SELECT tenant FROM events", "one"},
		{"two", "SELECT tenant FROM events", "two"},
		{"", "SELECT tenant FROM events", ""},
		{"three", "SELECT tenant FROM events", ""},
		{"one", "SELECT id FROM api_keys", "one"},
		{"one", "SELECT name FROM counters", ""},
		{"one", "UPDATE events SET subject = 'x' RETURNING tenant", "one"},
		{"one", "DELETE FROM api_keys WHERE tenant = 'two' RETURNING id", ""},
	} {
		if got := as(c.tenant, c.query); got != c.want {
			t.Errorf("for %q, %s gives %q, want %q", c.tenant, c.query, got, c.want)
		}
	}
	write := `DO $$ BEGIN
		INSERT INTO audit_notes (tenant, size, at, note) VALUES ('two', 1, 1, '');
		RAISE 'a row of another tenant was taken';
	EXCEPTION WHEN insufficient_privilege THEN NULL; END $$`
	as("one", write)
	if got := strings.Join(ask(t, dsn, "SET ROLE reports", "SELECT tenant FROM events"), " "); got != "" {
		t.Errorf("without a tenant a role sees %q", got)
	}
	if got := ask(t, dsn, "SELECT tenant FROM events ORDER BY tenant"); len(got) != 2 {
		t.Errorf("the owner sees %q", got)
	}
	all := ask(t, dsn, `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'goose_db_version'
		AND (NOT c.relrowsecurity OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant')
			AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid))`)
	if len(all) > 0 {
		t.Errorf("other roles can read every row of %v: enable row-level security in the migration that makes them", all)
	}
}

func TestOpenRefuses(t *testing.T) {
	server := services.Postgres(t)
	newer, old := server.DSN(t), server.DSN(t)
	if err := engine(t, postgres.Options{URL: newer}).Close(); err != nil {
		t.Fatal(err)
	}
	ask(t, newer, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	ask(t, old, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	defer ask(t, old, "DROP DATABASE latin WITH (FORCE)")
	latin := old[:strings.LastIndexByte(old, '/')] + "/latin"
	for _, c := range []struct{ name, url, want string }{
		{"a newer schema", newer, "99999"},
		{"a schema that is not there", newer + "?search_path=nowhere", "search_path"},
		{"another encoding", latin, "UTF8"},
		{"a wrong URL", "postgres://u:hush@/%", "URL"},
		{"no server", "postgres://u:hush@127.0.0.1:1/x", "refused"},
	} {
		e, err := postgres.Open(t.Context(), postgres.Options{URL: c.url})
		if err == nil {
			t.Errorf("%s was accepted", c.name)
			e.Close()
			continue
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s gives %q, want it to name %q and no password", c.name, err, c.want)
		}
	}
}

// Queries inside queries do not lose their place when the cache of statements is
// full, in snapshots and in transactions.
func TestStatementsInUseAreKept(t *testing.T) {
	e := engine(t, postgres.Options{URL: services.Postgres(t).DSN(t)})
	defer e.Close()
	s, err := e.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	statementsAreKept(t, s)
	tx, err := e.Begin(t.Context()) // not before: a turn that is not used is taken away
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	statementsAreKept(t, tx)
}

func statementsAreKept(t *testing.T, q driver.Querier) {
	t.Helper()
	n := 0
	err := q.Query("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", nil, func(v []any) error {
		for i := range 500 {
			err := q.Query(fmt.Sprintf("SELECT %d, %d", n, i), nil, func(v []any) error {
				if v[0] != int64(n) || v[1] != int64(i) {
					return fmt.Errorf("got %v", v)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		n++
		if v[0] != int64(n) {
			return errors.New("the outer row changed")
		}
		return nil
	})
	if n != 3 || err != nil {
		t.Errorf("the outer query gave %d rows, want 3; error %v", n, err)
	}
}

// A migration that changes a table under a running hub costs it a repetition.
func TestSchemaChangesUnderAHub(t *testing.T) {
	dsn := services.Postgres(t).DSN(t)
	s := open(t, postgres.Options{URL: dsn})
	if err := put(s, "a", "1"); err != nil || get(t, s, "a") != "1" {
		t.Fatal(err)
	}
	ask(t, dsn, "ALTER TABLE meta ADD COLUMN extra BIGINT NOT NULL DEFAULT 0", "ALTER TABLE meta ALTER COLUMN value TYPE VARCHAR(1000)", "ALTER TABLE meta ALTER COLUMN value TYPE TEXT COLLATE \"C\"",
		"ALTER TABLE counters ALTER COLUMN value TYPE INT")
	if err := s.Do(t.Context(), func(tx *store.Tx) error { tx.Counter("n", 1); return tx.PutMeta("a", "2") }); err != nil {
		t.Errorf("after a change of the schema: %v", err)
	}
	if got := get(t, s, "a"); got != "2" {
		t.Errorf("got %q, want 2", got)
	}
}

// Who only looks changes nothing, and sees what a hub writes.
func TestReadOnly(t *testing.T) {
	dsn := services.Postgres(t).DSN(t)
	if e, err := postgres.Open(t.Context(), postgres.Options{URL: dsn, ReadOnly: true}); err == nil || !strings.Contains(err.Error(), "no database of tocsin") {
		t.Errorf("an empty database gives %v", err)
		if err == nil {
			e.Close()
		}
	}
	if got := ask(t, dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); got[0] != "0" {
		t.Errorf("looking made %s tables", got[0])
	}
	s := open(t, postgres.Options{URL: dsn})
	if err := put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	e := engine(t, postgres.Options{URL: dsn, ReadOnly: true, PoolSize: 1})
	defer e.Close()
	snap, err := e.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	err = snap.Query("SELECT value FROM meta WHERE name = 'a'", nil, func(v []any) error {
		if v[0] != "1" {
			t.Errorf("got %v, want 1", v[0])
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if tx, err := e.Begin(t.Context()); driver.KindOf(err) != driver.ReadOnly {
		t.Errorf("a transaction begins with %v, %v", tx, err)
	}
}

// A server that became a standby is left for the one that took over.
func TestDemotedServer(t *testing.T) {
	dsn := services.Postgres(t).DSN(t)
	s := open(t, postgres.Options{URL: dsn})
	if err := put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	name := dsn[strings.LastIndexByte(dsn, '/')+1:]
	// as far as a session can see, read-only is what a standby is
	ask(t, dsn, "ALTER DATABASE "+name+" SET default_transaction_read_only = on",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"' AND application_name = 'tocsin'")
	if err := put(s, "a", "2"); hub.KindOf(err) != hub.Transient || driver.KindOf(s.Health()) != driver.ReadOnly {
		t.Errorf("a standby gives %v, and the health %v", err, s.Health())
	}
	ask(t, dsn, "SET default_transaction_read_only = off", "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	comesBack(t, s)
	if err := put(s, "a", "3"); err != nil {
		t.Error(err)
	}
}
