package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/tocsin/tocsin/internal/store/driver"
)

// classify gives err a kind, from PostgreSQL's code or because the connection
// failed.
func classify(err error) error {
	if err == nil || driver.KindOf(err) != "" {
		return err
	}
	if kind := kindOf(err); kind != "" {
		return &driver.Error{Kind: kind, Err: err}
	}
	return err
}

func kindOf(err error) driver.Kind {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		if stale(pg) {
			return driver.Busy // once prepared anew it fits
		}
		return kindOfCode(pg.Code)
	}
	if errors.Is(err, context.Canceled) {
		return "" // the caller has left
	}
	var network net.Error
	var connect *pgconn.ConnectError
	if errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return driver.IO
	}
	return ""
}

// kindOfCode sorts PostgreSQL's codes; the first two characters are a class.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func kindOfCode(code string) driver.Kind {
	switch code {
	case "23505": // unique_violation
		return driver.Unique
	case "40001", "40P01", "55P03", // serialization_failure, deadlock_detected, lock_not_available
		"57014",          // query_canceled: it took too long
		"25P03", "25P04": // idle_in_transaction_session_timeout, transaction_timeout: the turn was taken away
		return driver.Busy
	case "53100": // disk_full
		return driver.Full
	case "25006", "42501": // read_only_sql_transaction, insufficient_privilege
		return driver.ReadOnly
	case "XX001", "XX002": // data_corrupted, index_corrupted
		return driver.Corrupt
	}
	switch code[:min(2, len(code))] {
	case "08", // connection exception
		"28", "3D", // wrong password, no such database
		"53", // insufficient resources: memory, connections
		"57", // operator intervention: shutdown, start
		"58": // system error: I/O, files
		return driver.IO
	}
	return ""
}

// stale reports that a prepared statement is gone or does not fit any more,
// because somebody changed the schema.
func stale(pg *pgconn.PgError) bool {
	return pg.Code == "26000" || pg.Code == "0A000" && pg.Routine == "RevalidateCachedQuery"
}

// demoted reports that the server is a standby now: the next connection is to
// find the one that took over.
func demoted(pg *pgconn.PgError) bool { return pg.Code == "25006" }

// fatal reports an error after which PostgreSQL closes the connection.
func fatal(pg *pgconn.PgError) bool {
	return pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC"
}
