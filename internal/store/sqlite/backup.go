package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	msqlite "modernc.org/sqlite"

	"github.com/tocsin/tocsin/internal/store/driver"
)

// copyStep is how many pages are copied between two looks at the context: 8 MiB.
const copyStep = 1024

// Copy writes a consistent copy of the database at from to a new file, readable
// by its owner only, while others use it: the copy is the state of one moment.
// The WAL of the database cannot start over meanwhile, so it grows by what is
// written during the copy.
//
// progress is told how many bytes of how many were copied; it may be nil.
func Copy(ctx context.Context, from, to string, progress func(done, total int64)) (err error) {
	if _, err := os.Stat(from); err != nil {
		return classify(err)
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists; name a file that does not", to)
	} else if err != nil {
		return classify(err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(to) // half a copy is worse than none
		}
	}()
	c, err := dial(from, 1<<20, true)
	if err != nil {
		return err
	}
	defer c.close()
	// With a read transaction of its own the copy is not begun anew when somebody
	// writes.
	if _, err := c.exec("BEGIN", nil); err != nil {
		return err
	}
	if err := c.query("SELECT count(*) FROM sqlite_master", nil, func([]any) error { return nil }); err != nil {
		return err
	}
	if err := c.copyPages(ctx, to, progress); err != nil {
		return err
	}
	return syncFile(to)
}

// copyPages copies page by page. The copy's own transaction ends with the last.
func (c *conn) copyPages(ctx context.Context, to string, progress func(done, total int64)) error {
	b, err := c.raw.(interface {
		NewBackup(uri string) (*msqlite.Backup, error)
	}).NewBackup(plainDSN(to))
	if err != nil {
		return classify(err)
	}
	for more := true; more; {
		if more, err = b.Step(copyStep); err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return errors.Join(classify(err), classify(b.Finish()))
		}
		if progress != nil {
			total := int64(b.PageCount())
			progress((total-int64(b.Remaining()))*pageSize, total*pageSize)
		}
	}
	return classify(b.Finish())
}

// Check reads the whole file and says what is wrong with it: pages, indexes and
// types of values. Nothing may write to it meanwhile.
func Check(_ context.Context, path string) error {
	c, err := dial(path, 32<<20, true)
	if err != nil {
		return err
	}
	defer c.close()
	var faults []error
	err = c.query("PRAGMA integrity_check(5)", nil, func(v []any) error {
		if text, _ := v[0].(string); text != "ok" {
			faults = append(faults, errors.New(text))
		}
		return nil
	})
	if err == nil && len(faults) > 0 {
		err = &driver.Error{Kind: driver.Corrupt, Err: errors.Join(faults...)}
	}
	return err
}

// A File is one that travels inside a backup.
type File struct {
	Name    string
	Content []byte
}

// bagTable is where a backup carries files. A database in use has no such table.
const bagTable = "tocsin_backup"

// Pack puts files into a copy that nobody uses, and makes it one file that needs
// none beside it and may be read where nothing can be written.
func Pack(_ context.Context, path string, files []File) error {
	c, err := dial(path, 1<<20, false)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.exec("CREATE TABLE "+bagTable+" (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT", nil); err != nil {
		return err
	}
	for _, f := range files {
		if _, err := c.exec("INSERT INTO "+bagTable+" (name, content) VALUES ($1, $2)", []any{f.Name, f.Content}); err != nil {
			return err
		}
	}
	if err := c.pragmas("wal_checkpoint(TRUNCATE)", "journal_mode(DELETE)"); err != nil {
		return err
	}
	return syncFile(path)
}

// Packed gives the files inside a backup; none for one that SQLite's own tools
// have made.
func Packed(_ context.Context, path string) ([]File, error) {
	c, err := dial(path, 1<<20, true)
	if err != nil {
		return nil, err
	}
	defer c.close()
	there, err := c.hasTable(bagTable)
	if err != nil || !there {
		return nil, err
	}
	var files []File
	err = c.query("SELECT name, content FROM "+bagTable+" ORDER BY name", nil, func(v []any) error {
		content, _ := v[1].([]byte)
		files = append(files, File{v[0].(string), content})
		return nil
	})
	return files, err
}

// Unpack takes the files out of a copy of a backup, leaving no trace, so that it
// can be used as a database.
func Unpack(_ context.Context, path string) error {
	c, err := dial(path, 1<<20, false)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.pragmas("secure_delete(ON)"); err != nil {
		return err
	}
	if _, err := c.exec("DROP TABLE IF EXISTS "+bagTable, nil); err != nil {
		return err
	}
	return c.pragmas("wal_checkpoint(TRUNCATE)")
}

// Settle moves what stands in the log of a database that nobody uses into its
// file, so that the file is all there is.
func Settle(_ context.Context, path string) error {
	c, err := dial(path, 1<<20, false)
	if err != nil {
		return err
	}
	err = c.pragmas("wal_checkpoint(TRUNCATE)")
	c.close()
	if err == nil {
		err = syncFile(path)
	}
	return err
}

// Beside gives the files that SQLite keeps beside a database in use.
func Beside(path string) []string { return []string{path + "-wal", path + "-shm"} }

func (c *conn) hasTable(name string) (there bool, err error) {
	err = c.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1", []any{name}, func([]any) error {
		there = true
		return nil
	})
	return there, err
}

func (c *conn) pragmas(all ...string) error {
	for _, p := range all {
		if err := c.query("PRAGMA "+p, nil, func([]any) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}
