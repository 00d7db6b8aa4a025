package services

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ask runs a query with PostgreSQL's own client.
func ask(t *testing.T, p *PostgresServer, dsn, query string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), "-XAtq", "-d", dsn, "-c", query).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func mustAsk(t *testing.T, p *PostgresServer, dsn, query, want string) {
	t.Helper()
	if got, err := ask(t, p, dsn, query); got != want || err != nil {
		t.Errorf("%s gave %q, want %q; error %v", query, got, want, err)
	}
}

// What was committed survives stopping, killing and pausing, and each test has a
// database of its own.
func TestPostgres(t *testing.T) {
	p := Postgres(t)
	dsn, other := p.DSN(t), p.DSN(t)
	mustAsk(t, p, dsn, "CREATE TABLE a (n int); INSERT INTO a VALUES (1)", "")
	mustAsk(t, p, other, "CREATE TABLE a (n int)", "")
	mustAsk(t, p, dsn, "SHOW fsync", "on")
	p.Stop(t)
	if got, err := ask(t, p, dsn, "SELECT 1"); err == nil {
		t.Errorf("a stopped server answered %q", got)
	}
	p.Start(t)
	mustAsk(t, p, dsn, "INSERT INTO a VALUES (2)", "")
	p.Kill(t)
	p.Start(t)
	mustAsk(t, p, dsn, "SELECT sum(n) FROM a", "3")
	p.Pause(t)
	var timeout *exec.ExitError
	if got, err := ask(t, p, dsn, "SELECT 1"); !errors.As(err, &timeout) {
		t.Errorf("a paused server answered %q, error %v", got, err)
	}
	p.Resume(t)
	mustAsk(t, p, other, "SELECT count(*) FROM a", "0")
}

// A server that one test left stopped runs for the next.
func TestPostgresIsRevived(t *testing.T) {
	var dsn string
	p := Postgres(t)
	t.Run("stops it", func(t *testing.T) { Postgres(t).Stop(t) })
	dsn = p.DSN(t)
	t.Run("pauses it", func(t *testing.T) { Postgres(t).Pause(t) })
	mustAsk(t, p, dsn, "SELECT 1", "1")
}
