package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

func homeIn(dir string) Home {
	c := configs.Config{Store: configs.Store{Dir: dir}}
	return Home{Dir: dir, Database: c.Store.File(), Key: c.KeyFile(), Checkpoints: c.CheckpointFile()}
}

func (f *dataFolder) home() Home { return homeIn(f.dir) }

func (f *dataFolder) backup(file string) *BackupReport {
	f.t.Helper()
	report, err := Backup(f.t.Context(), BackupOptions{Home: f.home(), File: file, Version: "test"})
	if err != nil {
		f.t.Fatal(err)
	}
	return report
}

// metas gives the numbers that stand in the table meta.
func metas(t *testing.T, st *store.Store, n int) (there []bool) {
	t.Helper()
	there = make([]bool, n)
	err := st.View(t.Context(), func(r *store.Reader) error {
		for i := range n {
			v, err := r.Meta(fmt.Sprint(i))
			if err != nil {
				return err
			}
			there[i] = v != ""
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// writers write numbers with an audit entry each, until they are stopped.
type writers struct {
	next atomic.Int64
	mu   sync.Mutex
	all  []int64
	done sync.WaitGroup
}

func (w *writers) run(ctx context.Context, f *dataFolder, callers int) {
	for range callers {
		w.done.Go(func() {
			for ctx.Err() == nil {
				n := w.next.Add(1) - 1
				err := f.st.Do(context.WithoutCancel(ctx), func(tx *store.Tx) error {
					tx.Audit(hub.Audited(hub.System(hub.DefaultTenant), "finding.accept", "finding", fmt.Sprint(n)))
					return tx.PutMeta(fmt.Sprint(n), strings.Repeat("x", 500))
				})
				if err != nil {
					f.t.Errorf("a write beside the backup: %v", err)
					return
				}
				w.mu.Lock()
				w.all = append(w.all, n)
				w.mu.Unlock()
			}
		})
	}
}

func (w *writers) sofar() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

// A backup under load holds everything that was accepted before it, nothing by
// halves, and is restored to a hub that can go on.
func TestBackupUnderLoad(t *testing.T) {
	f := newDataFolder(t)
	f.start()
	ctx, cancel := context.WithCancel(t.Context())
	w := &writers{}
	w.run(ctx, f, 8)
	for len(w.sofar()) < 2000 {
		f.log(1)
	}
	before := w.sofar()
	file := filepath.Join(t.TempDir(), "hub.backup")
	report := f.backup(file)
	cancel()
	w.done.Wait()
	f.keep()
	f.stop()
	if len(report.Logs) != 1 || report.Logs[0].Verdict != audit.Intact || report.Logs[0].Entries < int64(len(before)) {
		t.Errorf("the backup reports %+v after %d writes", report.Logs, len(before))
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() != report.Bytes {
		t.Errorf("the backup is %v, %v; want mode 0600 and %d bytes", info, err, report.Bytes)
	}
	if want := []string{"audit.checkpoints", "audit.key", "audit.pub"}; !slices.Equal(report.Files, want) {
		t.Errorf("the backup holds %v, want %v", report.Files, want)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
		t.Errorf("the backup left %v", left)
	}

	g := &dataFolder{t: t, dir: filepath.Join(t.TempDir(), "elsewhere")}
	if _, err := Restore(t.Context(), RestoreOptions{Home: g.home(), File: file}); err != nil {
		t.Fatal(err)
	}
	if r := g.verify(AuditOptions{}); r.Verdict != audit.Intact {
		t.Errorf("the restored audit log: %s", r.String())
	}
	g.start()
	there := metas(t, g.st, int(w.next.Load()))
	for _, n := range before {
		if !there[n] {
			t.Errorf("%d was accepted before the backup and is not in it", n)
		}
	}
	g.log(3)
	g.stop()
	r := g.verify(AuditOptions{})
	entries := int64(logged) + 4 // the restore itself, and three
	for _, is := range there {
		if is {
			entries++
		}
	}
	if logs := g.count("finding.accept"); r.Verdict != audit.Intact || r.Entries != logs+1 || r.Entries < entries {
		t.Errorf("the audit log after the restore: %s, with %d entries; %d of them of findings, want %d or more in all", r.String(), r.Entries, logs, entries)
	}
}

// count counts the audit entries of an action.
func (f *dataFolder) count(action string) (n int64) {
	f.t.Helper()
	l, err := openLog(f.t.Context(), f.database(), hub.DefaultTenant)
	if err != nil {
		f.t.Fatal(err)
	}
	defer l.close()
	for e, err := range l.Entries(f.t.Context(), 0) {
		if err != nil {
			f.t.Fatal(err)
		}
		if bytes.Contains(e.Bytes, []byte(`"action":"`+action+`"`)) {
			n++
		}
	}
	return n
}

func TestBackupRefusals(t *testing.T) {
	f := newDataFolder(t)
	file := filepath.Join(t.TempDir(), "hub.backup")
	f.backup(file)
	for _, c := range []struct {
		name string
		o    BackupOptions
		want string
	}{
		{"there is one", BackupOptions{Home: f.home(), File: file}, "--force"},
		{"no hub", BackupOptions{Home: homeIn(t.TempDir()), File: file + "2"}, "no such file"},
		{"a PostgreSQL", BackupOptions{Home: Home{Database: "postgres://db/x"}, File: file + "2"}, "pg_dump"},
		{"no folder for it", BackupOptions{Home: f.home(), File: filepath.Join(f.dir, "none", "b")}, "no such file"},
		{"no key", BackupOptions{Home: Home{Dir: f.dir, Database: f.database(), Key: "/nowhere/key", Checkpoints: "/nowhere/c"}, File: file + "2"}, "--without-key"},
	} {
		_, err := Backup(t.Context(), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(left) != 1 {
		t.Errorf("refused backups left %v", left)
	}
	if _, err := Backup(t.Context(), BackupOptions{Home: f.home(), File: file, Force: true}); err != nil {
		t.Errorf("a backup over another: %v", err)
	}
}

// A tampered log is copied as it is, and told of.
func TestBackupOfTamperedLog(t *testing.T) {
	f := newDataFolder(t)
	f.sql("UPDATE audit_entries SET entry = CAST(replace(CAST(entry AS TEXT), 'fnd_1', 'fnd_2') AS BLOB) WHERE seq = 7")
	file := filepath.Join(t.TempDir(), "hub.backup")
	report, err := Backup(t.Context(), BackupOptions{Home: f.home(), File: file})
	if err == nil || report == nil || report.Logs[0].Verdict != audit.Tampered {
		t.Fatalf("a backup of a tampered log: %+v, %v", report, err)
	}
	to := RestoreOptions{Home: homeIn(filepath.Join(t.TempDir(), "new")), File: file}
	if _, err := Restore(t.Context(), to); err == nil || !strings.Contains(err.Error(), "--unverified") {
		t.Errorf("a tampered backup is restored: %v", err)
	}
	if entries, _ := os.ReadDir(to.Home.Dir); len(entries) > 1 { // the lock
		t.Errorf("a refused restore left %v", entries)
	}
	to.Unverified = true
	if _, err := Restore(t.Context(), to); err != nil {
		t.Errorf("a tampered backup that is wanted all the same: %v", err)
	}
}

// What is damaged anywhere is found before anything is put in place.
func TestRestoreOfDamage(t *testing.T) {
	f := newDataFolder(t)
	file := filepath.Join(t.TempDir(), "hub.backup")
	f.backup(file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string]func(b []byte) []byte{
		"cut short": func(b []byte) []byte { return b[:len(b)/2] },
		"empty":     func([]byte) []byte { return nil },
		"no SQLite": func(b []byte) []byte { return append([]byte("PK"), b[2:]...) },
		"an entry": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"action":"finding.accept"`), []byte(`"action":"finding.ACCEPT"`), -1)
		},
		"a page": func(b []byte) []byte {
			at := bytes.Index(b, []byte("finding.accept")) &^ 8191
			return append(append(slices.Clone(b[:at]), make([]byte, 8192)...), b[at+8192:]...)
		},
	}
	for name, damage := range damages {
		bad := filepath.Join(t.TempDir(), "bad.backup")
		if err := os.WriteFile(bad, damage(slices.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "new")
		if _, err := Restore(t.Context(), RestoreOptions{Home: homeIn(dir), File: bad}); err == nil {
			t.Errorf("%s: it was restored", name)
		}
		if exists(filepath.Join(dir, "tocsin.db")) || exists(filepath.Join(dir, "audit.key")) {
			t.Errorf("%s: something was put in place", name)
		}
	}
}

func TestRestoreWhereThereIsAHub(t *testing.T) {
	f := newDataFolder(t)
	file := filepath.Join(t.TempDir(), "hub.backup")
	f.backup(file)
	f.start()
	f.log(10)
	f.keep()
	o := RestoreOptions{Home: f.home(), File: file}
	lock, err := sqlite.TakeLock(t.Context(), f.database())
	if err != nil {
		t.Fatal(err)
	}
	o.Force = true
	if _, err := Restore(t.Context(), o); !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("a restore under a hub that runs: %v", err)
	}
	f.stop()
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	o.Force = false
	var usage *UsageError
	if _, err := Restore(t.Context(), o); !errors.As(err, &usage) {
		t.Errorf("a restore over a hub: %v", err)
	}
	if r := f.verify(AuditOptions{}); r.Entries != logged+10 {
		t.Errorf("a refused restore left %d entries, want %d", r.Entries, logged+10)
	}
	o.Force = true
	report, err := Restore(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Lost) != 1 || !strings.Contains(report.Lost[0], "entries 40 to 49") {
		t.Errorf("it says that was lost: %v", report.Lost)
	}
	if r := f.verify(AuditOptions{}); r.Verdict != audit.Intact || r.Entries != logged+1 {
		t.Errorf("after the restore: %s, %d entries", r.String(), r.Entries)
	}
	old := slices.IndexFunc(report.Kept, func(s string) bool { return strings.HasPrefix(s, f.database()) })
	if old < 0 {
		t.Fatalf("kept are %v, want the old database among them", report.Kept)
	}
	r := f.verify(AuditOptions{Store: "sqlite:" + report.Kept[old], Checkpoint: report.Kept[slices.IndexFunc(report.Kept, func(s string) bool { return strings.Contains(s, "checkpoints") })]})
	if r.Verdict != audit.Intact || r.Entries != logged+10 {
		t.Errorf("what was kept: %s, %d entries", r.String(), r.Entries)
	}
	f.start() // a hub can go on
	f.log(1)
	f.stop()
}

// The key may be kept elsewhere; then the backup needs it to be there.
func TestBackupWithoutKey(t *testing.T) {
	f := newDataFolder(t)
	file := filepath.Join(t.TempDir(), "hub.backup")
	if _, err := Backup(t.Context(), BackupOptions{Home: f.home(), File: file, WithoutKey: true}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil || bytes.Contains(content, []byte("PRIVATE KEY")) {
		t.Fatalf("the backup holds the private key, or %v", err)
	}
	home := homeIn(filepath.Join(t.TempDir(), "new"))
	if _, err := Restore(t.Context(), RestoreOptions{Home: home, File: file}); err == nil || !strings.Contains(err.Error(), "audit key") {
		t.Errorf("a restore without any key: %v", err)
	}
	home.Key = f.home().Key
	if _, err := Restore(t.Context(), RestoreOptions{Home: home, File: file}); err != nil {
		t.Errorf("a restore with the key that is there: %v", err)
	}
	restored, err := os.ReadFile(home.Database)
	if err != nil || bytes.Contains(restored, []byte("tocsin_backup")) {
		t.Errorf("the restored database holds traces of the backup's files, or %v", err)
	}
}

// A restored database keeps nothing of the key that travelled inside.
func TestRestoreLeavesNoKeyInside(t *testing.T) {
	f := newDataFolder(t)
	file := filepath.Join(t.TempDir(), "hub.backup")
	f.backup(file)
	home := homeIn(filepath.Join(t.TempDir(), "new"))
	if _, err := Restore(t.Context(), RestoreOptions{Home: home, File: file}); err != nil {
		t.Fatal(err)
	}
	restored, err := os.ReadFile(home.Database)
	if err != nil || bytes.Contains(restored, []byte("PRIVATE KEY")) {
		t.Errorf("the restored database holds the private key, or %v", err)
	}
	for _, name := range []string{"audit.key", "audit.checkpoints"} {
		want, _ := os.ReadFile(filepath.Join(f.dir, name))
		got, err := os.ReadFile(filepath.Join(home.Dir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s was not restored as it was: %v", name, err)
		}
	}
	if info, err := os.Stat(home.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the restored key is %v, %v", info, err)
	}
}

func TestHomeOf(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tocsin.yaml")
	text := "store:\n  dir: /var/lib/tocsin\naudit:\n  key_file: /etc/tocsin/a.key\nendpoints:\n  - {name: x, kind: slack, url: \"${env:NOT_SET}\"}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h, _, err := HomeOf(path, "", nil)
	want := Home{"/var/lib/tocsin", "/var/lib/tocsin/tocsin.db", "/etc/tocsin/a.key", "/var/lib/tocsin/audit.checkpoints"}
	if err != nil || h != want {
		t.Errorf("%+v, %v; want %+v", h, err, want)
	}
	if h, _, err := HomeOf(path, "/data", nil); err != nil || h.Database != "/data/tocsin.db" {
		t.Errorf("with --data: %+v, %v", h, err)
	}
	if _, _, err := HomeOf(path, "", []string{"TOCSIN_STORE_URL=mysql://x"}); err == nil {
		t.Error("a store.url that cannot be is taken")
	}
}
