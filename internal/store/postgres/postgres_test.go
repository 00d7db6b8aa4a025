package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/drivertest"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/test/services"
)

// schemas gives places in one database: making a schema takes a fraction of the
// time that making a database takes.
func schemas(dsn string) func(testing.TB) string {
	var n atomic.Int64
	return func(t testing.TB) string {
		name := fmt.Sprintf("place%d", n.Add(1))
		ask(t, dsn, "CREATE SCHEMA "+name)
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = "search_path=" + name
		return u.String()
	}
}

// ask runs statements as a stranger would, and gives the rows of the last as text.
func ask(t testing.TB, dsn string, queries ...string) (rows []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // clean-ups ask too
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	for _, q := range queries {
		rows = nil
		res, err := c.Query(ctx, q, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		for res.Next() {
			v, err := res.Values()
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, fmt.Sprint(v...))
		}
		if err := res.Err(); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	return rows
}

func TestEngine(t *testing.T) {
	server := services.Postgres(t)
	drivertest.Run(t, drivertest.Kit{
		Place: schemas(server.DSN(t)),
		Open: func(t testing.TB, place string) (driver.Engine, error) {
			return postgres.Open(t.Context(), postgres.Options{URL: place, Turn: 10 * time.Second})
		},
		Shared: true,
		Disturb: map[string]func(testing.TB, string){
			"connections cut": func(t testing.TB, place string) {
				for range 5 {
					ask(t, place, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tocsin'")
				}
			},
			"server stopped": func(t testing.TB, _ string) { server.Stop(t); server.Start(t) },
			"server killed":  func(t testing.TB, _ string) { server.Kill(t); server.Start(t) },
		},
	})
}
