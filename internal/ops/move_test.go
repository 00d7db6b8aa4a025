package ops

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/embedded"
	"github.com/tocsin/tocsin/internal/bus/kafka"
	"github.com/tocsin/tocsin/internal/bus/outbox"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/internal/store/sqlite"
	"github.com/tocsin/tocsin/test/services"
)

// fill puts rows into every table but those of the bus and of the audit log,
// with values of every kind that a store can hold.
func (f *dataFolder) fill(rows int) {
	f.t.Helper()
	db, err := sql.Open("sqlite", f.database())
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query(`SELECT m.name, c.name, c.type, c."notnull" OR c.pk > 0 FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE 'audit%' AND m.name NOT IN ('goose_db_version', 'topics', 'messages', 'consumers', 'leases')`)
	if err != nil {
		f.t.Fatal(err)
	}
	type column struct {
		name, kind string
		needed     bool
	}
	tables := map[string][]column{}
	for found.Next() {
		var table string
		var c column
		if err := found.Scan(&table, &c.name, &c.kind, &c.needed); err != nil {
			f.t.Fatal(err)
		}
		tables[table] = append(tables[table], c)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for table, columns := range tables {
		for i := range rows {
			var names, marks []string
			var values []any
			for _, c := range columns {
				v := someValue(rnd, c.kind, i)
				if !c.needed && i%3 == 0 {
					v = nil
				}
				names, marks, values = append(names, c.name), append(marks, "?"), append(values, v)
			}
			if _, err := db.Exec(fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(names, ", "), strings.Join(marks, ", ")), values...); err != nil {
				f.t.Fatalf("fill %s: %v", table, err)
			}
		}
	}
	if len(tables) < 20 {
		f.t.Fatalf("only %d tables were filled", len(tables))
	}
}

// logAtOnce writes n entries in a few transactions.
func (f *dataFolder) logAtOnce(n int) {
	f.t.Helper()
	for range n / 500 {
		err := f.st.Do(f.t.Context(), func(tx *store.Tx) error {
			for i := range 500 {
				tx.Audit(hub.Audited(hub.System(hub.DefaultTenant), "finding.accept", "finding", fmt.Sprint(i)))
			}
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

func someValue(rnd *rand.Rand, kind string, i int) any {
	switch kind {
	case "INTEGER":
		return int64(i+1) * (1 + rnd.Int64N(1<<40))
	case "REAL":
		return rnd.NormFloat64() * 1e9
	case "BLOB":
		if i%7 == 0 && rnd.IntN(2) == 0 {
			return fmt.Appendf(nil, "%d", i)
		}
		b := fmt.Appendf(nil, "%d\x00", i)
		for range rnd.IntN(300) {
			b = append(b, byte(rnd.Uint32()))
		}
		return b
	}
	return fmt.Sprint(i, []string{"", "plain", "zero\x00byte", "\x01\x02", "\xff\xfe", "żółw ünïcode 漢", "\ufffd", strings.Repeat("long", 300)}[rnd.IntN(8)])
}

// content gives what a table holds, sorted, by the engine's own queries.
func content(t *testing.T, e driver.Engine, table driver.Table, where string) []string {
	t.Helper()
	s, err := e.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := []string{}
	err = s.Query("SELECT "+strings.Join(table.Columns, ", ")+" FROM "+table.Name+where, nil, func(v []any) error {
		for i := range v {
			if b, is := v[i].([]byte); is {
				v[i] = fmt.Sprintf("bytes %x", b)
			}
		}
		all = append(all, fmt.Sprintf("%#v", v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func mustOpen(t *testing.T, database string) driver.Engine {
	t.Helper()
	e, err := openEngine(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// wantAlike compares everything but what the bus has for itself.
func wantAlike(t *testing.T, from, to string) {
	t.Helper()
	a, b := mustOpen(t, from), mustOpen(t, to)
	d, err := sqlite.OpenDump(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	tables, err := d.Tables()
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) < 28 {
		t.Fatalf("there are only %d tables", len(tables))
	}
	for _, table := range tables {
		where := ""
		switch table.Name {
		case "topics", "messages", "consumers", "leases":
			continue
		case "counters":
			where = " WHERE name NOT LIKE 'bus.%' AND name <> 'topics.no'"
		case "meta":
			where = " WHERE name <> 'audit.key'"
		case "deliveries":
			where = " WHERE state <> 'delivering'"
		}
		want, got := content(t, a, table, where), content(t, b, table, where)
		if len(want) == 0 && !strings.HasPrefix(table.Name, "audit") {
			t.Errorf("nothing to compare in %s", table.Name)
		}
		if !slices.Equal(want, got) {
			t.Errorf("%s: %d rows are not the %d that were", table.Name, len(got), len(want))
		}
	}
}

// publish puts messages on the embedded bus of the folder, of which some are
// done by the group of triage.
func (f *dataFolder) publish(n, done int) {
	f.t.Helper()
	ctx := f.t.Context()
	b, err := embedded.New(ctx, f.st, embedded.Options{Topics: embedded.DefaultTopics()})
	if err != nil {
		f.t.Fatal(err)
	}
	defer b.Close()
	for i := range n {
		m := bus.NewMessage(fmt.Sprintf("fnd_%d", i), "default", fmt.Sprint("key ", i%3), fmt.Appendf(nil, `{"n":%d}`, i))
		m.Metadata["colour"] = "red"
		err = f.st.Do(ctx, func(tx *store.Tx) error {
			if i == done-1 {
				rows, err := tx.Topics()
				if err != nil {
					return err
				}
				no := rows[slices.IndexFunc(rows, func(r store.TopicRow) bool { return r.Name == bus.TopicFindings })].No
				if err := tx.PutConsumer(store.ConsumerRow{Topic: no, Group: "triage", Pos: store.Position(no, 0, int64(done)), At: time.Now()}); err != nil {
					return err
				}
			}
			return b.PublishTx(tx, bus.TopicFindings, m)
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// waiting gives the messages of a topic in a store, by id, and their payload and
// headers.
func waiting(t *testing.T, database, topic string) []string {
	t.Helper()
	st := storeOver(t, database)
	var all []string
	err := st.View(t.Context(), func(r *store.Reader) error {
		rows, err := r.Topics()
		if err != nil {
			return err
		}
		at := slices.IndexFunc(rows, func(r store.TopicRow) bool { return r.Name == topic })
		if at < 0 {
			return fmt.Errorf("there is no topic %s, only %v", topic, rows)
		}
		no := rows[at].No
		return r.Messages(store.Position(no, 0, 0), store.Position(no+1, 0, 0), 1<<20, func(m *store.MessageRow) bool {
			all = append(all, fmt.Sprintf("%s %s %s %s %s", m.ID, m.Tenant, m.Key, m.Payload, m.Headers))
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// storeOver opens a database for reading and writing, until the test ends.
func storeOver(t *testing.T, database string) *store.Store {
	t.Helper()
	var engine driver.Engine
	var err error
	if isPostgres(database) {
		engine, err = postgres.Open(t.Context(), postgres.Options{URL: database})
	} else {
		engine, err = sqlite.Open(t.Context(), sqlite.Options{Path: database})
	}
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), engine, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// A hub is carried over to PostgreSQL and back, with every value, the audit logs
// and what waits to be handled.
func TestMoveThereAndBack(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real PostgreSQL")
	}
	url := services.Postgres(t).DSN(t)
	f := newDataFolder(t)
	f.start()
	f.publish(50, 20)
	f.logAtOnce(3000) // more than one answer holds
	f.keep()
	f.stop()
	f.fill(40)
	o := MoveOptions{From: "sqlite://" + f.database(), To: url, Home: f.home()}
	steps := 0
	o.Progress = func(_ string, done, total int64) {
		if steps++; done > total {
			t.Errorf("%d of %d are done", done, total)
		}
	}
	report, err := Move(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Messages[bus.TopicFindings] != 30 || report.Rows < 20*40 || steps == 0 || len(report.Logs) != 1 {
		t.Errorf("it reports %d messages, %d rows, %d logs, after %d steps", report.Messages[bus.TopicFindings], report.Rows, len(report.Logs), steps)
	}
	wantAlike(t, f.database(), url)
	if r := f.verify(AuditOptions{Data: f.dir, Store: url}); r.Verdict != audit.Intact || r.Entries != logged+3000 {
		t.Errorf("the audit log in PostgreSQL: %s", r.String())
	}
	box := waiting(t, url, outbox.Table)
	if len(box) != 30 || box[0] != `fnd_20 default key 2 {"n":20} {"colour":"red","outbox-topic":"findings"}` {
		t.Errorf("%d messages wait in the outbox, the first is %q", len(box), append(box, "")[0])
	}
	if _, err := Move(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over a target that has something: %v", err)
	}
	numbersGoOn(t, url)
	back(t, f, url)
}

// numbersGoOn checks that a new row does not get the number of another.
func numbersGoOn(t *testing.T, url string) {
	t.Helper()
	e, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	_, err = tx.Exec("INSERT INTO findings (tenant, id, alert_id, outcome, source, type, severity, asset_id, received_at, doc) VALUES ('a', 'new', '', '', '', '', '', '', 1, $1)", []any{[]byte("x")})
	if err != nil {
		t.Errorf("a new finding: %v", err)
	}
}

// back carries the hub from PostgreSQL to a file, with messages that wait in
// Kafka, which are older than those in the outbox.
func back(t *testing.T, f *dataFolder, url string) {
	t.Helper()
	cfg := configs.Default()
	cfg.Bus.Kind, cfg.Bus.Kafka.Brokers, cfg.Bus.Kafka.TopicPrefix = "kafka", services.SharedKafka(t).Brokers(), "back."
	cfg.Bus.Partitions = 2
	b, err := openKafka(t.Context(), &cfg.Bus)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	doneUpTo(t, b, 10)
	o := MoveOptions{From: url, To: "sqlite:" + filepath.Join(t.TempDir(), "back.db"), Home: f.home()}
	if _, err := Move(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("without being told of Kafka: %v", err)
	}
	o.Config = cfg
	report, err := Move(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	to := strings.TrimPrefix(o.To, "sqlite:")
	if report.Messages[bus.TopicFindings] != 5 || report.Messages[outbox.Table] != 30 {
		t.Errorf("messages that wait: %v; want 5 in Kafka and 30 in the outbox", report.Messages)
	}
	wantAlike(t, f.database(), to)
	found := waiting(t, to, bus.TopicFindings)
	if len(found) != 35 || !strings.Contains(found[0], `early_1`) || found[5] != `fnd_20 default key 2 {"n":20} {"colour":"red"}` {
		t.Errorf("%d findings wait in the file: %q", len(found), found)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if _, err := Move(t.Context(), o); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("over a file that is there: %v", err)
	}
}

// doneUpTo publishes messages to Kafka and has the group of triage handle the
// first ones; five more wait.
func doneUpTo(t *testing.T, b *kafka.Bus, n int) {
	t.Helper()
	send := func(from, to int) {
		for i := from; i < to; i++ {
			if err := b.Publisher().Publish(bus.TopicFindings, bus.NewMessage(fmt.Sprintf("early_%d", i), "default", "key", []byte("{}"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(0, n)
	ctx, cancel := context.WithCancel(t.Context())
	sub := b.Subscriber(kafka.Group{Name: "triage"})
	msgs, err := sub.Subscribe(ctx, bus.TopicFindings)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		(<-msgs).Ack()
	}
	cancel()
	if err := sub.Close(); err != nil { // which commits
		t.Fatal(err)
	}
	send(n, n+5)
}

// After any failure the target is as it was, and the move can be repeated.
func TestMoveIsAllOrNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real PostgreSQL")
	}
	url := services.Postgres(t).DSN(t)
	f := newDataFolder(t)
	f.fill(3)
	o := MoveOptions{From: "sqlite:" + f.database(), To: url, Home: f.home()}
	// While a hub runs.
	lock, err := sqlite.TakeLock(t.Context(), f.database())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Move(t.Context(), o); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("from under a hub that runs: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	// Interrupted in the middle.
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(step string, _, _ int64) {
		if step == "verifying" {
			cancel()
		}
	}
	f.start()
	f.logAtOnce(5000)
	f.stop()
	if _, err := Move(ctx, o); err == nil {
		t.Error("an interrupted move succeeded")
	}
	o.Progress = nil
	// With an audit log that does not verify.
	wrong := o
	wrong.Home.Key = filepath.Join(t.TempDir(), "audit.key")
	if _, err := audit.LoadOrCreateKey(wrong.Home.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := Move(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "nothing was carried over") {
		t.Errorf("with another key: %v", err)
	}
	if _, err := Move(t.Context(), o); err != nil {
		t.Errorf("after all this: %v", err)
	}
	wantAlike(t, f.database(), url)
}

// A hub that works on the PostgreSQL is noticed by its lease.
func TestMoveFromUnderNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real PostgreSQL")
	}
	url := services.Postgres(t).DSN(t)
	st := storeOver(t, url)
	beat := func() {
		err := st.Do(t.Context(), func(tx *store.Tx) error {
			if _, _, err := tx.TakeLease("node/a", "a", store.LeaseRow{}); err != nil {
				return err
			}
			return tx.BeatLeases("a")
		})
		if err != nil {
			t.Error(err)
		}
	}
	beat()
	if err := nobodyRuns(t.Context(), url); err != nil {
		t.Errorf("a node that died is taken for one that lives: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			beat()
		}
	}()
	if err := nobodyRuns(t.Context(), url); err == nil {
		t.Error("a node that lives is not noticed")
	}
	cancel()
	<-ended
}

func TestMoveUsage(t *testing.T) {
	f := newDataFolder(t)
	for _, c := range []struct{ from, to, want string }{
		{"sqlite:a", "sqlite:b", "tocsin backup"},
		{"postgres://a/b", "postgres://a/c", "pg_dump"},
		{"tocsin.db", "postgres://a/c", "sqlite:PATH"},
		{"sqlite:" + f.database() + "2", "postgres://a/c", "no such file"},
		{"sqlite:" + f.database(), "postgres://127.0.0.1:1/none", "127.0.0.1"},
	} {
		_, err := Move(t.Context(), MoveOptions{From: c.from, To: c.to, Home: f.home()})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("from %s to %s: %v, want %q", c.from, c.to, err, c.want)
		}
	}
}

// A schema that a newer program has changed is told of, and left alone.
func TestSchema(t *testing.T) {
	f := newDataFolder(t)
	before, after, err := MigrateSchema(t.Context(), f.database())
	if err != nil || len(before.Pending)+len(after.Pending) > 0 || before.Version != after.Version || after.Version != after.Knows {
		t.Errorf("what is up to date: %+v, %+v, %v", before, after, err)
	}
	f.sql("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
	if _, _, err := MigrateSchema(t.Context(), f.database()); err == nil || !strings.Contains(err.Error(), "newer tocsin") {
		t.Errorf("a schema of the future: %v", err)
	}
	if _, err := SchemaOf(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there has a schema")
	}
}
