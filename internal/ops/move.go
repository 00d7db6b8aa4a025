package ops

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/internal/bus/outbox"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// MoveOptions say which hub is carried over to which database.
type MoveOptions struct {
	From, To string // as store.url of the configuration
	// Home says where the source has its audit key and checkpoints; Home.Database
	// is not looked at.
	Home Home
	// Config of the source, for its Kafka if it has one.
	Config *configs.Config
	// Progress is told what is being done and how far it has come; it may be nil.
	Progress func(step string, done, total int64)
}

// A MoveReport says what was carried over, and that it is there.
type MoveReport struct {
	store.CopyReport
	Logs []LogReport `json:"audit"`
}

// Move carries a whole hub over to another database: everything in it, the audit
// logs as they are, and what is waiting to be handled. The source is only read,
// and no hub may run over it, or what it did meanwhile would stay behind. The
// target must be empty; it has everything or nothing.
func Move(ctx context.Context, o MoveOptions) (*MoveReport, error) {
	from, err := databaseOf("--from", o.From)
	if err != nil {
		return nil, err
	}
	to, err := databaseOf("--to", o.To)
	if err != nil {
		return nil, err
	}
	m := &moving{MoveOptions: o, fromURL: from, toURL: to}
	switch {
	case isPostgres(from) && isPostgres(to):
		return nil, &UsageError{"both are PostgreSQL: use pg_dump and pg_restore, which keep everything"}
	case isPostgres(from):
		return m.toFile(ctx)
	case isPostgres(to):
		return m.toPostgres(ctx)
	}
	return nil, &UsageError{"both are files: use tocsin backup and tocsin restore"}
}

type moving struct {
	MoveOptions
	fromURL, toURL string
	from           driver.Dump
	to             driver.Load
}

func (m *moving) toPostgres(ctx context.Context) (*MoveReport, error) {
	if err := looksLikeSQLite(m.fromURL); err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	lock, err := sqlite.TakeLock(ctx, m.fromURL)
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Release() }() // nothing depends on it any more
	if m.from, err = sqlite.OpenDump(ctx, m.fromURL); err != nil {
		return nil, err
	}
	defer func() { _ = m.from.Close() }() // it was only read
	if m.to, err = postgres.OpenLoad(ctx, m.toURL); err != nil {
		return nil, err
	}
	defer func() { _ = m.to.Close() }() // it was committed, or is dropped
	return m.carry(ctx, store.BusPlan{
		// The hubs that start over the target find it in their outbox, and forward it
		// to Kafka before anything that is newer.
		Topics: []string{outbox.Table},
		Place: func(topic string, row *store.MessageRow) (string, error) {
			return outbox.Table, outbox.Enter(topic, row)
		},
	})
}

// carry copies, verifies and commits.
func (m *moving) carry(ctx context.Context, plan store.BusPlan) (*MoveReport, error) {
	key, notes, err := m.witnesses()
	if err != nil {
		return nil, err
	}
	step := func(what string, done, total int64) {
		if m.Progress != nil {
			m.Progress(what, done, total)
		}
	}
	report, err := store.Copy(ctx, m.from, m.to, plan, func(done, total int64, table string) { step("carrying over "+table, done, total) })
	if err != nil {
		return nil, err
	}
	out := &MoveReport{CopyReport: *report}
	out.Logs, err = verifyLogs(ctx, m.to, []ed25519.PublicKey{key}, notes, func(done, total int64) { step("verifying", done, total) })
	if err == nil {
		err = sound(out.Logs)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; nothing was carried over", err)
	}
	// So that no hub with another key can start over it.
	if _, err := m.to.Exec("DELETE FROM meta WHERE name = $1", []any{metaAuditKey}); err != nil {
		return nil, err
	}
	if _, err := m.to.Exec("INSERT INTO meta (name, value) VALUES ($1, $2)", []any{metaAuditKey, base64.StdEncoding.EncodeToString(key)}); err != nil {
		return nil, err
	}
	step("committing", 0, 0)
	return out, m.to.Commit(ctx)
}

// metaAuditKey is where hubs over one database note the public half of their key;
// see internal/app.
const metaAuditKey = "audit.key"

// witnesses gives the key and the checkpoints that the source's audit logs are
// held against. The hubs over the target need the key.
func (m *moving) witnesses() (ed25519.PublicKey, [][]byte, error) {
	key, err := audit.LoadKey(m.Home.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no audit key at %s; name the hub's data folder with --data, or its configuration with --config", m.Home.Key)
	}
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(m.Home.Checkpoints)
	if errors.Is(err, fs.ErrNotExist) {
		return key.Public(), nil, nil
	}
	return key.Public(), SplitCheckpoints(string(text)), err
}

// aliveFor is how long the leases of a PostgreSQL are watched for a hub that
// counts them up, which it does twice a second.
const aliveFor = 2 * time.Second

// nobodyRuns refuses a PostgreSQL over which a hub is at work.
func nobodyRuns(ctx context.Context, url string) error {
	first, err := beats(ctx, url)
	if err != nil || len(first) == 0 {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(aliveFor):
	}
	second, err := beats(ctx, url)
	for owner, beat := range second {
		if beat != first[owner] {
			return fmt.Errorf("a hub works on the database, %s; stop all of them first", owner)
		}
	}
	return err
}

// beats gives the counts of the nodes that there are leases of.
func beats(ctx context.Context, url string) (map[string]int64, error) {
	d, err := postgres.OpenDump(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }() // it was only read
	all := map[string]int64{}
	err = d.Query("SELECT owner, beat FROM leases WHERE name LIKE 'node/%'", nil, func(v []any) error {
		all[textOf(v[0])] = intOf(v[1])
		return nil
	})
	return all, err
}
