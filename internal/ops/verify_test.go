package ops

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// A dataFolder is the data of a hub as it lies on disk: a database whose audit
// log has entries, the key, and the checkpoint kept outside.
type dataFolder struct {
	t   *testing.T
	dir string
	st  *store.Store // open if the hub "runs"
}

const logged = 40

func newDataFolder(t *testing.T) *dataFolder {
	t.Helper()
	f := &dataFolder{t: t, dir: t.TempDir()}
	f.start()
	f.log(logged)
	f.keep()
	f.stop()
	return f
}

func (f *dataFolder) start() {
	f.t.Helper()
	key, err := audit.LoadOrCreateKey(filepath.Join(f.dir, "audit.key"))
	if err != nil {
		f.t.Fatal(err)
	}
	engine, err := sqlite.Open(f.t.Context(), sqlite.Options{Path: f.database()})
	if err != nil {
		f.t.Fatal(err)
	}
	if f.st, err = store.Open(f.t.Context(), engine, store.Options{Sealer: audit.NewSealer(key, "", nil)}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *dataFolder) stop() {
	if err := f.st.Close(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *dataFolder) database() string { return filepath.Join(f.dir, "tocsin.db") }

// log writes n entries, a transaction each.
func (f *dataFolder) log(n int) {
	f.t.Helper()
	for range n {
		e := hub.Audited(hub.System(hub.DefaultTenant), "finding.accept", "finding", "fnd_1")
		if err := f.st.Do(f.t.Context(), func(tx *store.Tx) error { tx.Audit(e); return nil }); err != nil {
			f.t.Fatal(err)
		}
	}
}

// keep appends the newest checkpoint to the file outside the database.
func (f *dataFolder) keep() {
	f.t.Helper()
	var note []byte
	err := f.st.View(f.t.Context(), func(r *store.Reader) error {
		head, err := r.AuditHead(hub.DefaultTenant)
		note = bytes.Clone(head.Note)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	kept, _ := os.ReadFile(filepath.Join(f.dir, "audit.checkpoints")) // none at first
	if err := os.WriteFile(filepath.Join(f.dir, "audit.checkpoints"), append(append(kept, note...), '\n'), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// sql changes the database behind the hub's back.
func (f *dataFolder) sql(statements ...string) {
	f.t.Helper()
	db, err := sql.Open("sqlite", f.database())
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		res, err := db.Exec(s)
		if err != nil {
			f.t.Fatalf("%s: %v", s, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 && !strings.HasPrefix(s, "DROP") {
			f.t.Fatalf("%s changed %d rows, %v", s, n, err)
		}
	}
}

func (f *dataFolder) verify(o AuditOptions) audit.Report {
	f.t.Helper()
	if o.Data == "" && o.Store == "" && o.File == "" {
		o.Data = f.dir
	}
	if o.Tenant == "" {
		o.Tenant = hub.DefaultTenant
	}
	r, err := Verify(f.t.Context(), o)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

const replaceEntry = "UPDATE audit_entries SET entry = CAST(replace(CAST(entry AS TEXT), 'finding.accept', 'finding.refuse') AS BLOB) WHERE seq = 7"

// Every change that a person with a database client can make is found and named.
func TestVerifyNamesWhatWasDone(t *testing.T) {
	for _, c := range []struct {
		name string
		sql  []string
		code int
		kind audit.FaultKind
		seq  int64
	}{
		{"nothing", nil, 0, "", 0},
		{"an entry edited", []string{replaceEntry}, 1, audit.Edited, 7},
		{"a hash changed", []string{"UPDATE audit_entries SET hash = zeroblob(32) WHERE seq = 8"}, 1, audit.HashMismatch, 8},
		{"a hash cut short", []string{"UPDATE audit_entries SET hash = x'00' WHERE seq = 8"}, 1, audit.HashMismatch, 8},
		{"an entry emptied", []string{"UPDATE audit_entries SET entry = x'' WHERE seq = 8"}, 1, audit.Edited, 8},
		{"an entry deleted", []string{"DELETE FROM audit_entries WHERE seq = 9"}, 1, audit.Deleted, 9},
		{"the first entry deleted", []string{"DELETE FROM audit_entries WHERE seq = 0"}, 1, audit.Deleted, 0},
		{"the last entry deleted", []string{"DELETE FROM audit_entries WHERE seq = 39"}, 1, audit.Truncated, 39},
		{"all entries deleted", []string{"DELETE FROM audit_entries"}, 1, audit.Truncated, 0},
		{"an entry given away", []string{"UPDATE audit_entries SET tenant = 'other' WHERE seq = 9"}, 1, audit.Deleted, 9},
		{
			"entries exchanged", []string{
				"UPDATE audit_entries SET n = -1 WHERE seq = 10", "UPDATE audit_entries SET n = (SELECT n FROM audit_entries WHERE seq = 11) + 1000 WHERE seq = 10",
			}, 1, audit.Reordered, 10,
		},
		{
			"numbers exchanged", []string{
				"UPDATE audit_entries SET seq = -1 WHERE seq = 10", "UPDATE audit_entries SET seq = 10 WHERE seq = 11", "UPDATE audit_entries SET seq = 11 WHERE seq = -1",
			}, 1, audit.Reordered, 10,
		},
		{"the tree damaged", []string{"UPDATE audit_heads SET frontier = x'00'"}, 1, audit.BadHead, -1},
		{"the tree emptied", []string{"UPDATE audit_heads SET frontier = x''"}, 1, audit.BadHead, -1},
		{"the last hash damaged", []string{"UPDATE audit_heads SET last = x'00'"}, 1, audit.BadHead, -1},
		{"the size changed", []string{"UPDATE audit_heads SET size = -5"}, 1, audit.BadHead, -1},
		{"the log renamed", []string{"UPDATE audit_heads SET log = 'tocsin/evil/default/1'"}, 1, audit.BadHead, -1},
		{"the head deleted", []string{"DELETE FROM audit_heads"}, 1, audit.BadHead, -1},
		{"the checkpoint damaged", []string{"UPDATE audit_heads SET note = x'00'"}, 1, audit.BadSignature, -1},
		{"everything deleted", []string{"DELETE FROM audit_entries", "DELETE FROM audit_heads", "DELETE FROM audit_notes"}, 3, audit.Older, 0},
		{"the table dropped", []string{"DROP TABLE audit_entries"}, 2, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newDataFolder(t)
			f.sql(c.sql...)
			r := f.verify(AuditOptions{})
			if r.ExitCode() != c.code {
				t.Fatalf("exit code %d, want %d: %s", r.ExitCode(), c.code, r.String())
			}
			if c.kind == "" {
				if r.Fault != nil {
					t.Errorf("fault %+v, want none", r.Fault)
				}
				return
			}
			if r.Fault == nil || r.Fault.Kind != c.kind || r.Fault.Sequence != c.seq {
				t.Errorf("fault %+v, want %s at %d", r.Fault, c.kind, c.seq)
			}
		})
	}
}

// A hub that writes does not disturb, and is not disturbed.
func TestVerifyWhileTheHubRuns(t *testing.T) {
	f := newDataFolder(t)
	f.start()
	defer f.stop()
	for n := int64(logged); n < logged+30; n += 10 {
		if r := f.verify(AuditOptions{}); r.ExitCode() != 0 || r.Entries != n {
			t.Fatalf("with %d entries: %s", n, r.String())
		}
		f.log(10)
	}
	f.keep()
	if r := f.verify(AuditOptions{}); r.ExitCode() != 0 || r.Entries != logged+30 {
		t.Errorf("at the end: %s", r.String())
	}
	f.sql(replaceEntry)
	if r := f.verify(AuditOptions{}); r.Fault == nil || r.Fault.Kind != audit.Edited || r.Fault.Sequence != 7 {
		t.Errorf("an entry edited under the hub: %s", r.String())
	}
}

// An older copy of the database that was put back is intact, but older than the
// checkpoint outside.
func TestVerifyOfAnOlderCopy(t *testing.T) {
	f := newDataFolder(t)
	old, err := os.ReadFile(f.database())
	if err != nil {
		t.Fatal(err)
	}
	f.start()
	f.log(5)
	f.keep()
	f.stop()
	if err := os.WriteFile(f.database(), old, 0o600); err != nil {
		t.Fatal(err)
	}
	r := f.verify(AuditOptions{})
	if r.ExitCode() != 3 || r.Fault.Kind != audit.Older || r.Entries != logged {
		t.Errorf("got %s", r.String())
	}
}

func TestVerifyMakesNoDatabase(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"an empty folder": func(string) error { return nil },
		"an empty file":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "tocsin.db"), nil, 0o600) },
		"another file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "tocsin.db"), []byte(strings.Repeat("no database\n", 100)), 0o600)
		},
	} {
		dir := t.TempDir()
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		before := listing(t, dir)
		r, err := Verify(t.Context(), AuditOptions{Data: dir, Tenant: hub.DefaultTenant})
		if err != nil || r.ExitCode() != 2 || r.Error == "" {
			t.Errorf("%s: %s, %v", name, r.String(), err)
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%s: the folder held %q and now %q", name, before, after)
		}
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(e.Name() + " " + info.ModTime().String() + "\n")
	}
	return b.String()
}

func TestVerifyOptions(t *testing.T) {
	f := newDataFolder(t)
	other := t.TempDir()
	if _, err := audit.LoadOrCreateKey(filepath.Join(other, "audit.key")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    AuditOptions
		code int
		want string
	}{
		{"by store", AuditOptions{Store: "sqlite:" + f.database()}, 0, "intact"},
		{"with the key as a file", AuditOptions{Key: filepath.Join(f.dir, "audit.pub")}, 0, "intact"},
		{"with the checkpoints by name", AuditOptions{Checkpoint: filepath.Join(f.dir, "audit.checkpoints")}, 0, "intact"},
		{"another's key", AuditOptions{Key: filepath.Join(other, "audit.pub")}, 2, "checkpoint that was given"},
		{"no key at all", AuditOptions{Key: "nonsense"}, 2, "--key"},
		{"checkpoints that are missing", AuditOptions{Checkpoint: filepath.Join(other, "none")}, 2, "no such file"},
		{"a file without checkpoints", AuditOptions{Checkpoint: filepath.Join(f.dir, "audit.pub")}, 2, "holds no checkpoint"},
		{"another tenant", AuditOptions{Tenant: "other"}, 2, "no audit log of tenant other"},
	} {
		if r := f.verify(c.o); r.ExitCode() != c.code || !strings.Contains(r.String()+r.Error, c.want) {
			t.Errorf("%s: exit code %d, %s; want %d, %q", c.name, r.ExitCode(), r.String(), c.code, c.want)
		}
	}
	if _, err := Verify(t.Context(), AuditOptions{Store: "mysql:x"}); err == nil {
		t.Error("a store that is not known was taken")
	}
}

// A checkpoint that was cut short while it was appended does not spoil those
// before it.
func TestVerifyWithATornCheckpoint(t *testing.T) {
	f := newDataFolder(t)
	f.start()
	f.log(3)
	f.keep()
	f.stop()
	path := filepath.Join(f.dir, "audit.checkpoints")
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < 150; cut += 7 {
		if err := os.WriteFile(path, kept[:len(kept)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if r := f.verify(AuditOptions{}); r.ExitCode() != 0 {
			t.Errorf("cut by %d bytes: %s", cut, r.String())
		}
	}
}

func TestExportAndVerify(t *testing.T) {
	f := newDataFolder(t)
	for _, format := range []string{"ndjson", "json", "csv"} {
		var b bytes.Buffer
		if err := ExportAudit(t.Context(), AuditOptions{Data: f.dir, Tenant: hub.DefaultTenant}, format, &b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "audit")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		outside := AuditOptions{File: path, Key: filepath.Join(f.dir, "audit.pub"), Checkpoint: filepath.Join(f.dir, "audit.checkpoints")}
		if r := f.verify(outside); r.ExitCode() != 0 || r.Entries != logged || !r.KeyTrusted {
			t.Errorf("%s: %s", format, r.String())
		}
		if r := f.verify(AuditOptions{File: "-", Stdin: bytes.NewReader(b.Bytes())}); (r.ExitCode() == 0) != (format == "ndjson") {
			t.Errorf("%s by itself: %s", format, r.String())
		}
		changed := bytes.Replace(b.Bytes(), []byte("finding.accept"), []byte("finding.refuse"), 1)
		outside.File, outside.Stdin = "-", bytes.NewReader(changed)
		if r := f.verify(outside); r.ExitCode() != 1 || r.Fault.Sequence != 0 {
			t.Errorf("%s, changed: %s", format, r.String())
		}
	}
	err := ExportAudit(t.Context(), AuditOptions{Data: t.TempDir(), Tenant: hub.DefaultTenant}, "json", new(bytes.Buffer))
	if err == nil {
		t.Error("an empty folder was exported")
	}
}
