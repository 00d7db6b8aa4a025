package sqlite_test

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// A planner is an engine that asks of each statement how it would be run.
type planner struct {
	driver.Engine
	t     *testing.T
	seen  map[string]bool
	plans map[string]string // of statements about deliveries
}

// Begin gives a transaction whose statements are looked at.
func (p *planner) Begin(ctx context.Context) (driver.Tx, error) {
	tx, err := p.Engine.Begin(ctx)
	return planTx{tx, p}, err
}

// Snapshot gives a snapshot whose queries are looked at.
func (p *planner) Snapshot(ctx context.Context) (driver.Snapshot, error) {
	s, err := p.Engine.Snapshot(ctx)
	return planSnapshot{s, p}, err
}

type planTx struct {
	driver.Tx
	p *planner
}

func (x planTx) Query(query string, args []any, row func([]any) error) error {
	x.p.look(query, args)
	return x.Tx.Query(query, args, row)
}

func (x planTx) Exec(query string, args []any) (int64, error) {
	x.p.look(query, args)
	return x.Tx.Exec(query, args)
}

func (x planTx) Send(query string, args []any) error {
	x.p.look(query, args)
	return x.Tx.Send(query, args)
}

type planSnapshot struct {
	driver.Snapshot
	p *planner
}

func (x planSnapshot) Query(query string, args []any, row func([]any) error) error {
	x.p.look(query, args)
	return x.Snapshot.Query(query, args, row)
}

func (p *planner) look(query string, args []any) {
	if p.seen[query] || !strings.Contains(query, "deliveries") {
		return
	}
	p.seen[query] = true
	s, err := p.Engine.Snapshot(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	defer s.Close()
	var plan []string
	err = s.Query("EXPLAIN QUERY PLAN "+query, args, func(v []any) error {
		plan = append(plan, v[3].(string))
		return nil
	})
	if err != nil {
		p.t.Errorf("%v in %s", err, query)
	}
	p.plans[query] = strings.Join(plan, "; ")
}

// scans finds a walk over deliveries that is not along an index that holds only
// what is open.
var scans = regexp.MustCompile(`SCAN (deliveries|d)( |;|$)`)

// What the relay asks again and again jumps to its rows, however many deliveries
// there are: done, waiting for endpoints with no room, or held.
func TestTheRelaysStatementsUseTheirIndexes(t *testing.T) {
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	p := &planner{Engine: e, t: t, seen: map[string]bool{}, plans: map[string]string{}}
	s, err := store.Open(t.Context(), p, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Unix(1, 0)
	replay := &hub.Replay{ID: "rpl_1", Tenant: "t", Endpoint: "a", Since: now, Until: now, Events: hub.EventTypes[:], Last: "x"}
	err = s.Do(t.Context(), func(tx *store.Tx) error {
		for _, ask := range []func() error{
			func() error { _, err := tx.DueEndpoints(); return err },
			func() error { _, err := tx.DueDeliveries("a", now, 5); return err },
			func() error { _, err := tx.ProbeDeliveries("a", now); return err },
			func() error { _, err := tx.FirstLease(); return err },
			func() error { _, err := tx.ExpireLeases(now); return err },
			func() error { return tx.Lease([]hub.Delivery{{ID: "d"}}, "l", now) },
			func() error { return tx.EndLeases("o", now) },
			func() error { _, err := tx.ConcludeDelivery(&hub.Delivery{ID: "d"}, ""); return err },
			func() error {
				_, err := tx.SucceedDeliveries("t", "l", []hub.DeliveryID{"a", "b"}, 1, 200, now)
				return err
			},
			func() error { _, err := tx.HoldDeliveries("a", now, 5, false); return err },
			func() error { _, err := tx.HoldLeased("l", []hub.DeliveryID{"a", "b"}, now); return err },
			func() error { _, err := tx.ReleaseHeld("a", now, 5); return err },
			func() error { _, err := tx.HeldEndpoints(); return err },
			func() error { _, err := tx.OldestHeld("a", 5); return err },
			func() error { _, err := tx.Released("a", 5); return err },
			func() error { _, err := tx.Replayed("a", 5); return err },
			func() error { _, err := tx.FirstOfKey("a", "k"); return err },
			func() error { return tx.PutBehind([]hub.DeliveryID{"a"}) },
			func() error { _, err := tx.Advance("a", "k", now); return err },
			func() error { _, err := tx.CountReplay(replay, "c"); return err },
			func() error { _, err := tx.ReplayDeliveries(replay, "c", 5); return err },
			func() error { return tx.Rearm([]hub.DeliveryID{"a"}, now) },
		} {
			if err := ask(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.plans) < 20 {
		t.Errorf("only %d statements were looked at", len(p.plans))
	}
	// The first row of an index is found by a walk that ends at once.
	atOnce := strings.NewReplacer(
		"SCAN deliveries USING INDEX deliveries_due", "", "SCAN deliveries USING COVERING INDEX deliveries_held", "",
		"SCAN deliveries USING COVERING INDEX deliveries_leased", "", "SCAN deliveries USING INDEX deliveries_leased", "",
	)
	for query, plan := range p.plans {
		rest := atOnce.Replace(plan)
		if scans.MatchString(rest) || strings.Contains(rest, "TEMP B-TREE") {
			t.Errorf("%s\nis run as %s", query, plan)
		}
	}
}
