package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/tocsin/tocsin/internal/store/driver"
)

func TestKinds(t *testing.T) {
	code := func(c string) error { return &pgconn.PgError{Code: c} }
	for _, c := range []struct {
		err  error
		want driver.Kind
	}{
		{nil, ""},
		{code("23505"), driver.Unique},
		{code("23502"), ""}, // not_null_violation
		{code("42601"), ""}, // syntax_error
		{code("25P02"), ""}, // in_failed_sql_transaction
		{code("40001"), driver.Busy},
		{code("40P01"), driver.Busy},
		{code("55P03"), driver.Busy},
		{code("57014"), driver.Busy},
		{code("25P03"), driver.Busy},
		{&pgconn.PgError{Code: "0A000", Routine: "RevalidateCachedQuery"}, driver.Busy},
		{code("0A000"), ""},
		{code("53100"), driver.Full},
		{code("53300"), driver.IO}, // too_many_connections
		{code("57P01"), driver.IO},
		{code("57P02"), driver.IO},
		{code("57P03"), driver.IO},
		{code("08006"), driver.IO},
		{code("28P01"), driver.IO},
		{code("58030"), driver.IO},
		{code("25006"), driver.ReadOnly},
		{code("42501"), driver.ReadOnly},
		{code("XX001"), driver.Corrupt},
		{code("XX002"), driver.Corrupt},
		{code(""), ""},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, driver.IO},
		{io.ErrUnexpectedEOF, driver.IO},
		{io.EOF, driver.IO},
		{os.ErrDeadlineExceeded, driver.IO},
		{&driver.Error{Kind: driver.Full, Err: io.EOF}, driver.Full},
		{fmt.Errorf("insert: %w", code("53100")), driver.Full},
		{context.Canceled, ""},
		{errors.New("a bug"), ""},
	} {
		if got := driver.KindOf(classify(c.err)); got != c.want {
			t.Errorf("%#v has kind %q, want %q", c.err, got, c.want)
		}
	}
}
