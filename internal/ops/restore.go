package ops

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/durable"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// RestoreOptions say what is restored, and where to.
type RestoreOptions struct {
	Home Home
	File string
	// Force restores where there is a hub already. What is there gets another name
	// and stays.
	Force bool
	// Unverified restores also a backup whose audit log was tampered with.
	Unverified bool
	// Progress is told what is being done and how far it has come; it may be nil.
	Progress func(step string, done, total int64)
}

// A RestoreReport says what was restored.
type RestoreReport struct {
	File  string      `json:"file"`
	Note  BackupNote  `json:"backup"`
	Files []string    `json:"files"` // that were put in place
	Kept  []string    `json:"kept"`  // what was there before, under its new name
	Logs  []LogReport `json:"audit"`
	Lost  []string    `json:"lost"` // what the hub had done after the backup, by what is known of it
}

// Restore puts a backup in place of the data of an embedded hub, which must not
// run. Everything is checked before anything is moved; the database comes last,
// so that a hub cannot start over half of it.
func Restore(ctx context.Context, o RestoreOptions) (*RestoreReport, error) {
	if isPostgres(o.Home.Database) {
		return nil, &UsageError{"the store is a PostgreSQL: use pg_restore; docs/backup.md says how"}
	}
	if err := looksLikeBackup(o.File); err != nil {
		return nil, err
	}
	for _, path := range []string{o.Home.Dir, filepath.Dir(o.Home.Database)} {
		if err := durable.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
	}
	lock, err := sqlite.TakeLock(ctx, o.Home.Database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Release() }() // it ends with the process at the latest
	r := &restoring{RestoreOptions: o, stamp: ".before-restore-" + time.Now().UTC().Format("20060102T150405Z")}
	r.temporary = filepath.Join(filepath.Dir(o.Home.Database), "."+filepath.Base(o.Home.Database)+"."+rand.Text()+".tmp")
	defer func() {
		for _, name := range append(sqlite.Beside(r.temporary), r.temporary, r.temporary+".key") {
			_ = os.Remove(name)
		}
	}()
	return r.run(ctx)
}

func looksLikeBackup(path string) error {
	if err := looksLikeSQLite(path); err != nil {
		return fmt.Errorf("%s is no backup that can be read: name a file that tocsin backup has written", path)
	}
	return nil
}

type restoring struct {
	RestoreOptions
	temporary string // the database that is to be put in place
	stamp     string // what the names of old files end in
	files     []sqlite.File
	report    RestoreReport

	write []sqlite.File // files to be written
	away  []string      // files to be renamed first
}

func (r *restoring) step(step string) func(done, total int64) {
	return func(done, total int64) {
		if r.Progress != nil {
			r.Progress(step, done, total)
		}
	}
}

func (r *restoring) run(ctx context.Context) (*RestoreReport, error) {
	r.report = RestoreReport{File: r.File, Files: []string{}, Kept: []string{}, Lost: []string{}}
	if err := sqlite.Copy(ctx, r.File, r.temporary, r.step("copying")); err != nil {
		return nil, fmt.Errorf("copy %s: %w", r.File, err)
	}
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	if err := r.plan(ctx); err != nil {
		return nil, err
	}
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	return &r.report, r.put()
}

// check refuses a backup that is damaged, newer than this program, or tampered
// with.
func (r *restoring) check(ctx context.Context) error {
	r.step("checking")(0, 0)
	if err := sqlite.Check(ctx, r.temporary); err != nil {
		return fmt.Errorf("the backup is damaged (%w); take an earlier one", err)
	}
	var err error
	if r.files, err = sqlite.Packed(ctx, r.temporary); err != nil {
		return err
	}
	for _, f := range r.files {
		if f.Name != nameNote {
			continue
		}
		if err := json.Unmarshal(f.Content, &r.report.Note); err != nil {
			return fmt.Errorf("the backup's note cannot be read: %w", err)
		}
	}
	if v := r.report.Note.Version; v > noteVersion {
		return fmt.Errorf("the backup has form %d and this program knows up to %d; restore it with the tocsin that made it, %s, or a newer one", v, noteVersion, r.report.Note.Tocsin)
	}
	// Opening it refuses a schema that is newer than this program's.
	if r.report.Logs, err = verifyCopy(ctx, r.temporary, r.files, r.step("verifying")); err != nil {
		return err
	}
	if err := sound(r.report.Logs); err != nil && !r.Unverified {
		return fmt.Errorf("%w; take an earlier backup, or restore this one all the same with --unverified", err)
	}
	return nil
}

// plan decides which files are written and which are moved out of the way, and
// refuses what nobody has allowed.
func (r *restoring) plan(ctx context.Context) error {
	var there []string
	for _, path := range append(sqlite.Beside(r.Home.Database), r.Home.Database) {
		if _, err := os.Lstat(path); err == nil {
			there = append(there, path)
		}
	}
	if len(there) > 0 && !r.Force {
		return &UsageError{fmt.Sprintf("%s exists; restore into another folder with --data, or put the backup in its place with --force, which keeps the old files beside", r.Home.Database)}
	}
	for _, f := range r.files {
		if f.Name == nameNote {
			continue
		}
		if f.Name != filepath.Base(f.Name) || strings.HasPrefix(f.Name, ".") || strings.HasPrefix(f.Name, filepath.Base(r.Home.Database)) {
			return fmt.Errorf("the backup holds a file called %q, which has no place; it was not made by tocsin backup", f.Name)
		}
		if err := r.planFile(ctx, f); err != nil {
			return err
		}
	}
	r.away = append(r.away, there...) // the database last
	return nil
}

func (r *restoring) planFile(ctx context.Context, f sqlite.File) error {
	path := r.Home.path(f.Name)
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		r.write = append(r.write, f)
		return nil
	}
	if err != nil {
		return err
	}
	if bytes.Equal(old, f.Content) {
		return nil
	}
	why := fmt.Sprintf("%s exists and is another than that of the backup", path)
	if f.Name == nameCheckpoints {
		lost, err := r.newer(ctx, SplitCheckpoints(string(old)))
		if err != nil {
			return err
		}
		if len(lost) == 0 {
			return nil // it knows no more than the backup holds, and is only ever appended to
		}
		r.report.Lost = lost
		why = fmt.Sprintf("%s knows that the hub went on after the backup: %s", path, strings.Join(lost, "; "))
	}
	if !r.Force {
		return &UsageError{why + ". With --force it gets another name and stays"}
	}
	r.away, r.write = append(r.away, path), append(r.write, f)
	return nil
}

// newer says which logs the checkpoints know to be longer than they are in the
// backup.
func (r *restoring) newer(ctx context.Context, notes [][]byte) ([]string, error) {
	engine, err := openEngine(ctx, r.temporary)
	if err != nil {
		return nil, err
	}
	defer func() { _ = engine.Close() }() // it was only read
	snap, err := engine.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	sizes := map[string]int64{}
	err = snap.Query("SELECT log, size FROM audit_heads", nil, func(v []any) error {
		sizes[textOf(v[0])] = intOf(v[1])
		return nil
	})
	var all []string
	for log, notes := range audit.ByLog(notes) {
		most := int64(0)
		for _, n := range notes {
			most = max(most, sizeOf(n))
		}
		if most > sizes[log] {
			all = append(all, fmt.Sprintf("entries %d to %d of %s are not in it", sizes[log], most-1, log))
		}
	}
	return all, err
}

// sizeOf gives how many entries a checkpoint covers: its second line.
func sizeOf(note []byte) int64 {
	var size int64
	lines := strings.SplitN(string(note), "\n", 3)
	if len(lines) == 3 {
		_, _ = fmt.Sscan(lines[1], &size) // what is no number covers nothing
	}
	return size
}

// ready makes the copy a database that a hub can start over, with an entry in
// its audit log that says where it comes from.
func (r *restoring) ready(ctx context.Context) error {
	if err := sqlite.Unpack(ctx, r.temporary); err != nil {
		return err
	}
	key, err := r.key()
	if err != nil {
		return err
	}
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: r.temporary, CacheBytes: 16 << 20, Readers: 1})
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, engine, store.Options{Sealer: audit.NewSealer(key, "", time.Now)})
	if err != nil {
		return err
	}
	e := hub.Audited(hub.System(hub.DefaultTenant), "hub.restore", "hub", "")
	d := new(hub.Details).Str("file", filepath.Base(r.File))
	if n := r.report.Note; n.Version > 0 {
		d = d.Str("taken_at", n.TakenAt.UTC().Format(time.RFC3339Nano)).Str("tocsin", n.Tocsin)
	}
	e.Details = d.Value()
	err = st.Do(ctx, func(tx *store.Tx) error { tx.Audit(e); return nil })
	if err = errors.Join(err, st.Close()); err != nil {
		return fmt.Errorf("note the restore in the audit log: %w", err)
	}
	return sqlite.Settle(ctx, r.temporary)
}

// key gives the key that the restored hub signs with: that of the backup, or the
// one that is there.
func (r *restoring) key() (*audit.Key, error) {
	for _, f := range r.files {
		if f.Name != nameKey {
			continue
		}
		if err := durable.WriteFile(r.temporary+".key", f.Content, durable.Private); err != nil {
			return nil, err
		}
		return audit.LoadKey(r.temporary + ".key")
	}
	key, err := audit.LoadKey(r.Home.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the backup brings no audit key and there is none at %s: put it there first", r.Home.Key)
	}
	return key, err
}

// put moves what is there out of the way and puts the new files in place.
func (r *restoring) put() error {
	if slices.Contains(r.away, r.Home.Database) {
		// So that the file is all there is to move. One that is damaged is kept as it is.
		_ = sqlite.Settle(context.Background(), r.Home.Database)
	}
	for _, path := range r.away {
		err := os.Rename(path, path+r.stamp)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%w; nothing of the backup is in place yet", err)
		}
		r.report.Kept = append(r.report.Kept, path+r.stamp)
	}
	for _, f := range r.write {
		perm := durable.Private
		if filepath.Ext(f.Name) == ".pub" {
			perm = 0o644
		}
		if err := durable.WriteFile(r.Home.path(f.Name), f.Content, perm); err != nil {
			return err
		}
		r.report.Files = append(r.report.Files, r.Home.path(f.Name))
	}
	if err := os.Rename(r.temporary, r.Home.Database); err != nil {
		return err
	}
	r.report.Files = append(r.report.Files, r.Home.Database)
	return syncDir(filepath.Dir(r.Home.Database))
}
