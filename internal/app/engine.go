package app

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/durable"
	"github.com/tocsin/tocsin/internal/secret"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// linger is how long a transaction waits for company. Each one writes the last
// page of every table again: at a few hundred findings a second, one transaction
// each would write ten times as much and make the disk the bottleneck.
const linger = 4 * time.Millisecond

// openStore opens the database that is configured, and sees to it that its audit
// log is the one that this node knows.
func (a *App) openStore(ctx context.Context) error {
	if err := durable.MkdirAll(a.cfg.Store.Dir, 0o700); err != nil {
		return err
	}
	key, err := audit.LoadOrCreateKey(a.cfg.KeyFile())
	if err != nil {
		return err
	}
	a.key = key
	vault, err := secret.NewVault(a.cfg.Store.SecretKeys...)
	if err != nil {
		return fmt.Errorf("store.secret_keys: %w", err)
	}
	engine, err := a.openEngine(ctx)
	if err != nil {
		return err
	}
	if a.opts.engine != nil {
		engine = a.opts.engine(engine)
	}
	now := func() time.Time { return a.st.Now() } // nothing is sealed before the store is open
	opts := store.Options{Sealer: audit.NewSealer(key, "", now), Vault: vault, Log: a.log, Linger: linger}
	if a.cfg.Store.Postgres() {
		opts.Linger = 0 // there company gathers while this node waits for its turn
	}
	if a.st, err = store.Open(ctx, engine, opts); err != nil {
		return err
	}
	a.onStop("store", func(context.Context) error { return a.st.Close() })
	if err := a.sealSecrets(ctx); err != nil {
		return err
	}
	registerStore(a.reg, a.st)
	registerBuild(a.reg, a.opts.Version, a.cfg.Server.Node)
	a.cluster = newCluster(a.st, nodeName(a.cfg.Server.Node), a.cfg.Store.Postgres(), a.log, func(string) {
		a.queue.Stored() // what the dead node was sending is due
		a.pipeline.Wake()
	})
	registerCluster(a.reg, a.cluster)
	if err := a.sameKey(ctx); err != nil {
		return err
	}
	a.keeper = &keeper{
		path: a.cfg.CheckpointFile(), st: a.st, key: key, log: a.log,
		every: a.cfg.Audit.CheckpointInterval, entries: int64(a.cfg.Audit.CheckpointEntries),
	}
	return a.keeper.compare(ctx)
}

// sealSecrets seals what was stored before the newest key was configured.
func (a *App) sealSecrets(ctx context.Context) error {
	var n int
	err := a.st.Do(ctx, func(tx *store.Tx) (err error) {
		if n, err = tx.SealSecrets(); n > 0 {
			tx.Audit(sealEntry(n))
		}
		return err
	})
	if err == nil && n > 0 {
		a.log.Info("secrets of endpoints are sealed with the newest key", "endpoints", n)
	}
	return err
}

func sealEntry(n int) hub.AuditEntry {
	e := hub.Audited(hub.System(hub.DefaultTenant), "secrets.seal", "endpoint", "all")
	e.Details = new(hub.Details).Int("endpoints", int64(n)).Value()
	return e
}

func (a *App) openEngine(ctx context.Context) (driver.Engine, error) {
	if a.cfg.Store.Postgres() {
		return postgres.Open(ctx, postgres.Options{URL: a.cfg.Store.URL.Reveal(), PoolSize: a.cfg.Store.PoolSize, Log: a.log})
	}
	lock, err := sqlite.TakeLock(ctx, a.cfg.Store.File())
	if err != nil {
		return nil, err
	}
	a.onStop("lock", func(context.Context) error { return lock.Release() })
	return sqlite.Open(ctx, sqlite.Options{Path: a.cfg.Store.File(), CacheBytes: int64(a.cfg.Store.CacheSize), Log: a.log})
}

// metaAuditKey is where the public half of the nodes' audit key is noted.
const metaAuditKey = "audit.key"

// sameKey refuses a node whose audit key is not that of the others: a log signed
// by two keys would look forged to whoever knows one of them.
func (a *App) sameKey(ctx context.Context) error {
	if a.cluster.alone() {
		return nil
	}
	own, noted := base64.StdEncoding.EncodeToString(a.key.Public()), ""
	err := a.st.Do(ctx, func(tx *store.Tx) (err error) {
		if noted, err = tx.Meta(metaAuditKey); err != nil || noted != "" {
			return err
		}
		noted = own
		return tx.PutMeta(metaAuditKey, own)
	})
	if err == nil && subtle.ConstantTimeCompare([]byte(noted), []byte(own)) != 1 {
		err = fmt.Errorf("the audit key %s is not the one that the other nodes of this database sign with (%s); put a copy of theirs in its place, or name it in audit.key_file", a.cfg.KeyFile(), noted)
	}
	return err
}
