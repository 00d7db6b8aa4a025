package postgres_test

import (
	"testing"
	"time"

	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/test/services"
)

// The server's clock is read between the two moments that are given; server and
// test share a machine's.
func TestTimeIsTheServers(t *testing.T) {
	e, err := postgres.Open(t.Context(), postgres.Options{URL: services.Postgres(t).DSN(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	read, before, after, err := e.Time(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if read.Before(before.Add(-time.Second)) || read.After(after.Add(time.Second)) {
		t.Errorf("the server's clock said %v between %v and %v", read, before, after)
	}
}
