package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// tampers are what somebody who owns the database does to it, in SQL by another
// client. The log has entries 0 to size-1.
var tampers = []struct {
	name, sql string
	exits     []int
	names     string // what the verdict names
}{
	{"nothing", "", []int{0}, "intact"},
	{"an entry edited", `UPDATE audit_entries SET entry = CAST(replace(CAST(entry AS TEXT), 'finding.accept', 'finding.accepx') AS BLOB) WHERE seq = 7`, []int{1}, "7"},
	{"an entry edited with its hash", `UPDATE audit_entries SET entry = (SELECT entry FROM audit_entries WHERE seq = 8), hash = (SELECT hash FROM audit_entries WHERE seq = 8) WHERE seq = 7`, []int{1}, "7"},
	{"an entry deleted", `DELETE FROM audit_entries WHERE seq = 9`, []int{1}, "9"},
	{"two swapped", `UPDATE audit_entries SET (hash, entry) = (SELECT o.hash, o.entry FROM audit_entries o WHERE o.seq = 17 - audit_entries.seq) WHERE seq IN (8, 9)`, []int{1}, "8"},
	{"the last entry gone", `DELETE FROM audit_entries WHERE seq = (SELECT max(seq) FROM audit_entries)`, []int{1, 3}, ""},
	{"the tail gone", `DELETE FROM audit_entries WHERE seq >= 5`, []int{1, 3}, "5"},
	{"all gone", `DELETE FROM audit_entries`, []int{1, 3}, ""},
}

// Whatever is done to the log of a hub that is down is found.
func TestAuditTampering(t *testing.T) {
	embeddedOnly(t)
	python, err := exec.LookPath("python3")
	if err != nil {
		missing(t, "python3 is not there", "install python3, whose sqlite3 module is the other client")
	}
	h := running(t)
	for i := range 20 {
		if err := h.Post(t.Context(), "/findings?wait=true", rig.Findings{Run: "audit"}.Append(nil, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, h)
	for _, c := range tampers {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(h.Dir)); err != nil {
				t.Fatal(err)
			}
			tamper(t, python, filepath.Join(dir, "tocsin.db"), c.sql)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			code, text, err := h.Run(ctx, "audit", "verify", "--data", dir)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(fmt.Sprint(c.exits), fmt.Sprint(code)) {
				t.Errorf("exit %d: %s; want one of %v", code, text, c.exits)
			}
			if !strings.Contains(text, c.names) {
				t.Errorf("the verdict does not name %s: %s", c.names, text)
			}
		})
	}
}

func tamper(t *testing.T, python, db, sql string) {
	t.Helper()
	const script = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
n = db.execute(sys.argv[2]).rowcount
db.commit()
db.close()
sys.exit(0 if n > 0 else "no row was changed")
`
	if sql == "" {
		return
	}
	if text, err := exec.CommandContext(t.Context(), python, "-c", script, db, sql).CombinedOutput(); err != nil {
		t.Fatalf("tamper: %v: %s", err, text)
	}
}
