package ops

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// A backup is one file: the hub's database, as it was at one moment, and in a
// table of its own (tocsin_backup) the files without which the database is of
// little use, and a note about the backup. Any tool that reads SQLite reads it.

// nameNote is what the note is called among the files of a backup.
const nameNote = "backup.json"

// noteVersion is the form of the note; a program refuses one that is newer.
const noteVersion = 1

// A BackupNote says what a backup is of.
type BackupNote struct {
	Version int       `json:"version"`
	TakenAt time.Time `json:"taken_at"`
	Tocsin  string    `json:"tocsin"` // version of the program that made it
	Schema  int64     `json:"schema"` // of the database
}

// BackupOptions say what is backed up, and where to.
type BackupOptions struct {
	Home Home
	File string
	// Force replaces a file that is there, once the new one is complete.
	Force bool
	// WithoutKey leaves the audit log's private key and other keys out.
	WithoutKey bool
	Version    string // of this program
	// Progress is told what is being done and how far it has come; it may be nil.
	Progress func(step string, done, total int64)
}

// A BackupReport says what a backup holds and what its verification came to.
type BackupReport struct {
	File    string      `json:"file"`
	Bytes   int64       `json:"bytes"`
	TakenAt time.Time   `json:"taken_at"`
	Schema  int64       `json:"schema"`
	Files   []string    `json:"files"` // beside the database
	Logs    []LogReport `json:"audit"`
}

func (o *BackupOptions) step(step string) func(done, total int64) {
	return func(done, total int64) {
		if o.Progress != nil {
			o.Progress(step, done, total)
		}
	}
}

// Backup writes a consistent copy of an embedded hub to a file, while the hub
// runs or not, and verifies it. A file that it leaves is whole.
//
// If the copy is whole but its audit log was tampered with, the file is there and
// there is an error beside the report.
func Backup(ctx context.Context, o BackupOptions) (*BackupReport, error) {
	if isPostgres(o.Home.Database) {
		return nil, &UsageError{"the store is a PostgreSQL: copy it by pg_dump or pg_basebackup while the hubs run, and the audit key and checkpoints beside it; docs/backup.md says how"}
	}
	if err := looksLikeSQLite(o.Home.Database); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(o.File); err == nil && !o.Force {
		return nil, &UsageError{fmt.Sprintf("%s exists; name another file, or replace it with --force", o.File)}
	}
	temporary := filepath.Join(filepath.Dir(o.File), "."+filepath.Base(o.File)+"."+rand.Text()+".tmp")
	defer func() { // it has another name if all went well
		for _, name := range append(sqlite.Beside(temporary), temporary) {
			_ = os.Remove(name)
		}
	}()
	report, err := o.write(ctx, temporary)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(temporary, o.File); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(o.File)); err != nil {
		return nil, err
	}
	if err := sound(report.Logs); err != nil {
		return report, fmt.Errorf("the backup is written and whole, but %w; keep it as evidence and look at an earlier one", err)
	}
	return report, nil
}

// write makes the copy under a temporary name.
func (o *BackupOptions) write(ctx context.Context, path string) (*BackupReport, error) {
	// The files first: checkpoints read after the copy could be newer than it, and
	// a hub refuses a database that is older than a checkpoint.
	files, err := o.files()
	if err != nil {
		return nil, err
	}
	note := BackupNote{Version: noteVersion, TakenAt: hub.Truncate(time.Now()), Tocsin: o.Version}
	if err := sqlite.Copy(ctx, o.Home.Database, path, o.step("copying")); err != nil {
		return nil, fmt.Errorf("copy %s: %w", o.Home.Database, err)
	}
	schema, err := sqlite.ReadSchema(ctx, path)
	if err != nil {
		return nil, err
	}
	note.Schema = schema.Version
	text, err := json.Marshal(note)
	if err != nil {
		return nil, err
	}
	if err := sqlite.Pack(ctx, path, append(files, sqlite.File{Name: nameNote, Content: text})); err != nil {
		return nil, err
	}
	logs, err := o.check(ctx, path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	report := &BackupReport{File: o.File, Bytes: info.Size(), TakenAt: note.TakenAt, Schema: note.Schema, Logs: logs, Files: []string{}}
	for _, f := range files {
		report.Files = append(report.Files, f.Name)
	}
	return report, nil
}

// files reads what travels with the database.
func (o *BackupOptions) files() ([]sqlite.File, error) {
	names, err := o.Home.names()
	if err != nil {
		return nil, err
	}
	var files []sqlite.File
	for _, name := range names {
		if o.WithoutKey && filepath.Ext(name) == ".key" {
			continue
		}
		content, err := os.ReadFile(o.Home.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			switch name {
			case nameKey:
				return nil, fmt.Errorf("there is no audit key at %s; name the configuration that says where it is with --config, or leave it out with --without-key", o.Home.Key)
			case namePublic:
				content, err = publicText(o.Home.Key)
			default:
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%w; run this as the user that the hub runs as", err)
		}
		files = append(files, sqlite.File{Name: name, Content: content})
	}
	return files, nil
}

// publicText gives the public half of a key, as it stands in audit.pub; none if
// there is no key.
func publicText(path string) ([]byte, error) {
	key, err := audit.LoadKey(path)
	if err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(key.Public()) + "\n"), nil
}

// check reads the copy back: every page, and every entry of the audit logs.
func (o *BackupOptions) check(ctx context.Context, path string) ([]LogReport, error) {
	o.step("checking")(0, 0)
	if err := sqlite.Check(ctx, path); err != nil {
		return nil, fmt.Errorf("the copy is damaged, and so may be the database (%w); look at the disk, and keep earlier backups", err)
	}
	files, err := sqlite.Packed(ctx, path)
	if err != nil {
		return nil, err
	}
	return verifyCopy(ctx, path, files, o.step("verifying"))
}

// verifyCopy verifies the audit logs of a copy with the public key and the
// checkpoints that it brings along.
func verifyCopy(ctx context.Context, path string, files []sqlite.File, progress func(done, total int64)) ([]LogReport, error) {
	engine, err := openEngine(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = engine.Close() }() // it was only read
	snap, err := engine.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	var keys []ed25519.PublicKey
	var notes [][]byte
	for _, f := range files {
		switch f.Name {
		case namePublic:
			key, err := audit.ParsePublicKey(strings.TrimSpace(string(f.Content)))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", namePublic, err)
			}
			keys = append(keys, key)
		case nameCheckpoints:
			notes = SplitCheckpoints(string(f.Content))
		}
	}
	return verifyLogs(ctx, snap, keys, notes, progress)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
