package app

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the hub's own driver goes by another name
)

// What somebody does to the log behind the back of a hub that runs, it tells when
// it is asked.
func TestVerifyOfTheRunningHub(t *testing.T) {
	for name, c := range map[string]struct{ tamper, want string }{
		"nothing":            {"", `"verdict":"intact"`},
		"an entry deleted":   {"DELETE FROM audit_entries WHERE seq = 3", `"kind":"deleted"`},
		"the end deleted":    {"DELETE FROM audit_heads", `"kind":"head_mismatch"`},
		"the log renamed":    {"UPDATE audit_heads SET log = 'tocsin/evil/default/1'", `"verdict":"tampered"`},
		"a hash overwritten": {"UPDATE audit_entries SET hash = zeroblob(32) WHERE seq = 2", `"sequence":2`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := start(t, load(t, dir, quick), withKey)
			r.findings("a", 20)
			until(t, "they are in the log", func() bool { return r.auditSize() > 20 })
			if c.tamper != "" {
				db, err := sql.Open("sqlite", filepath.Join(dir, "tocsin.db"))
				if err != nil {
					t.Fatal(err)
				}
				_, err = db.Exec("PRAGMA busy_timeout = 5000")
				if err == nil {
					_, err = db.Exec(c.tamper)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			status, answer := r.do("GET", "/api/v1/audit/verify", testKey, "")
			if status != 200 || !strings.Contains(answer, c.want) {
				t.Errorf("it is answered %d %s, want %s", status, answer, c.want)
			}
		})
	}
}
