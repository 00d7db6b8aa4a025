// Package durable writes files that survive a loss of power.
//
// A file is written whole or not at all: after a crash at any moment the path
// holds either what it held before or all of the new content, and once a
// function here has returned without error, it holds the new content. The price
// is two flushes a file, so this is for keys, credentials and marks, not for a
// stream of data.
//
// The sequence is the same everywhere: write a temporary file beside the target,
// flush it, give it its name in one step, flush the folder. Without the first
// flush the name could come to point at an empty file; without the second the
// name itself may be lost.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Private is the mode of a file that holds something secret.
const Private fs.FileMode = 0o600

// WriteFile puts data in the file at path and replaces what was there. The file
// gets the mode perm less the process's umask and never had a wider one. Where
// path is a symbolic link, the link itself is replaced.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return write(osDisk{}, path, data, perm, disk.rename)
}

// CreateFile is [WriteFile] for a file that must not exist yet: of several that
// try at once, one wins and the others get an error that is [fs.ErrExist].
func CreateFile(path string, data []byte, perm fs.FileMode) error {
	return write(osDisk{}, path, data, perm, disk.link)
}

// MkdirAll makes the folder at path and all that are missing above it, each with
// the mode perm less the umask. It is no error if the folder exists.
func MkdirAll(path string, perm fs.FileMode) error {
	return mkdirAll(osDisk{}, path, perm)
}

// A disk is the handful of system calls that matter here, so that tests can
// pull the plug between any two of them.
type disk interface {
	// create makes a new file; it is an error if path exists.
	create(path string, perm fs.FileMode) (file, error)
	// rename gives the file at from the name to, which it takes from whatever had it.
	rename(from, to string) error
	// link gives the file at from the further name to, which must be free.
	link(from, to string) error
	remove(path string) error
	mkdir(path string, perm fs.FileMode) error
	isDir(path string) bool
	// syncDir flushes the names in the folder dir.
	syncDir(dir string) error
	// suffix gives letters for a temporary name; they may repeat by chance only.
	suffix() string
}

type file interface {
	io.WriteCloser
	Sync() error
}

// write is the whole sequence. The last step that can fail is the flush of the
// folder: then the new content is in place, but a loss of power may bring the
// old one back, so the caller is told.
func write(d disk, path string, data []byte, perm fs.FileMode, publish func(d disk, from, to string) error) error {
	dir, name := filepath.Split(filepath.Clean(path))
	temporary := filepath.Join(dir, "."+name+"."+d.suffix()+".tmp")
	if err := writeNew(d, temporary, data, perm); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	// After a rename this name is gone and removing it fails, which is fine.
	defer func() { _ = d.remove(temporary) }()
	if err := publish(d, temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := d.syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: flush its folder: %w", path, err)
	}
	return nil
}

// writeNew leaves a flushed file at path, or none.
func writeNew(d disk, path string, data []byte, perm fs.FileMode) error {
	f, err := d.create(path, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		_ = d.remove(path)
	}
	return err
}

// mkdirAll works from the top down and flushes the parent after each folder, so
// that no folder can be lost whose content is not.
func mkdirAll(d disk, path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	if d.isDir(path) {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := mkdirAll(d, parent, perm); err != nil {
			return err
		}
	}
	if err := d.mkdir(path, perm); err != nil && (!errors.Is(err, fs.ErrExist) || !d.isDir(path)) {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := d.syncDir(parent); err != nil {
		return fmt.Errorf("make folder %s: flush its parent: %w", path, err)
	}
	return nil
}

// osDisk is the real one.
type osDisk struct{}

func (osDisk) create(path string, perm fs.FileMode) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) link(from, to string) error   { return os.Link(from, to) }
func (osDisk) remove(path string) error     { return os.Remove(path) }

func (osDisk) mkdir(path string, perm fs.FileMode) error { return os.Mkdir(path, perm) }

func (osDisk) isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (osDisk) syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (osDisk) suffix() string { return rand.Text() }
