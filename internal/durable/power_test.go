package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"testing"
)

// errPower is what every call gets once the power is gone.
var errPower = errors.New("power lost")

// A fakeDisk remembers what is flushed and what is not. Content and names are
// flushed apart, as on a real disk.
type fakeDisk struct {
	names   map[string]*inode // as a running program sees them
	flushed map[string]*inode // as they are after a loss of power
	dirs    map[string]bool
	kept    map[string]bool // folders that survive

	steps    int // calls so far
	dieAfter int // calls that still work; -1 for all
	// failAt makes one call fail without effect, the rest work; -1 for none.
	failAt int
	calls  []string
}

type inode struct {
	content, flushed string
}

func newFakeDisk() *fakeDisk {
	return &fakeDisk{
		names: map[string]*inode{}, flushed: map[string]*inode{},
		dirs: map[string]bool{"/": true, "/d": true}, kept: map[string]bool{"/": true, "/d": true},
		dieAfter: -1, failAt: -1,
	}
}

// put places a file that is there for good before the test begins.
func (d *fakeDisk) put(path, content string) {
	n := &inode{content, content}
	d.names[path], d.flushed[path] = n, n
}

func (d *fakeDisk) step(name string) error {
	d.calls = append(d.calls, name)
	d.steps++
	if d.dieAfter >= 0 && d.steps > d.dieAfter {
		return errPower
	}
	if d.steps-1 == d.failAt {
		return errors.New("refused: " + name)
	}
	return nil
}

func (d *fakeDisk) create(path string, _ fs.FileMode) (file, error) {
	if err := d.step("create"); err != nil {
		return nil, err
	}
	n := &inode{}
	d.names[path] = n
	return &fakeFile{d, n}, nil
}

func (d *fakeDisk) rename(from, to string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *fakeDisk) link(from, to string) error {
	if err := d.step("link"); err != nil {
		return err
	}
	if d.names[to] != nil {
		return fs.ErrExist
	}
	d.names[to] = d.names[from]
	return nil
}

func (d *fakeDisk) remove(path string) error {
	if err := d.step("remove"); err != nil {
		return err
	}
	if d.names[path] == nil {
		return fs.ErrNotExist
	}
	delete(d.names, path)
	return nil
}

func (d *fakeDisk) mkdir(path string, _ fs.FileMode) error {
	if err := d.step("mkdir"); err != nil {
		return err
	}
	d.dirs[path] = true
	return nil
}

func (d *fakeDisk) isDir(path string) bool { return d.dirs[path] }

func (d *fakeDisk) syncDir(dir string) error {
	if err := d.step("syncdir"); err != nil {
		return err
	}
	maps.DeleteFunc(d.flushed, func(name string, _ *inode) bool { return filepath.Dir(name) == dir })
	for name, n := range d.names {
		if filepath.Dir(name) == dir {
			d.flushed[name] = n
		}
	}
	for name := range d.dirs {
		if filepath.Dir(name) == dir {
			d.kept[name] = true
		}
	}
	return nil
}

func (d *fakeDisk) suffix() string { return "x" }

// survivors gives every content that path may have after a loss of power now:
// a disk may have written any of what was not flushed, or none.
func (d *fakeDisk) survivors(path string) map[string]bool {
	out := map[string]bool{}
	for _, n := range []*inode{d.flushed[path], d.names[path]} {
		if n == nil {
			out["<absent>"] = true
			continue
		}
		out[n.flushed] = true
		out[n.content] = true
	}
	return out
}

type fakeFile struct {
	d *fakeDisk
	n *inode
}

func (f *fakeFile) Write(p []byte) (int, error) {
	for i := range p { // a byte at a time, so that it can be cut anywhere
		if err := f.d.step("write"); err != nil {
			return i, err
		}
		f.n.content += string(p[i])
	}
	return len(p), nil
}

func (f *fakeFile) Sync() error {
	if err := f.d.step("sync"); err != nil {
		return err
	}
	f.n.flushed = f.n.content
	return nil
}

func (f *fakeFile) Close() error { return f.d.step("close") }

const target = "/d/key"

// TestPowerLost pulls the plug after every call: the path holds the old or the
// new content, and the new one for certain once the function has returned.
func TestPowerLost(t *testing.T) {
	for _, old := range []string{"<absent>", "old!"} {
		for after := 0; ; after++ {
			d := newFakeDisk()
			if old != "<absent>" {
				d.put(target, old)
			}
			d.dieAfter = after
			err := write(d, target, []byte("new"), Private, disk.rename)
			for content := range d.survivors(target) {
				if content != old && content != "new" {
					t.Errorf("plug pulled after call %d of %v: the file may hold %q", after, d.calls, content)
				}
				if err == nil && content != "new" {
					t.Errorf("write returned without error, yet the file may hold %q", content)
				}
			}
			if d.steps <= after {
				break // it ran to its end
			}
		}
	}
}

// TestCallRefused makes each call fail alone: nothing half written may be left
// in place, and the error is reported.
func TestCallRefused(t *testing.T) {
	whole := newFakeDisk()
	if err := write(whole, target, []byte("new"), Private, disk.rename); err != nil {
		t.Fatal(err)
	}
	for at, call := range whole.calls {
		t.Run(fmt.Sprint(at, call), func(t *testing.T) {
			d := newFakeDisk()
			d.put(target, "old!")
			d.failAt = at
			err := write(d, target, []byte("new"), Private, disk.rename)
			if cleanup := call == "remove"; (err == nil) != cleanup {
				t.Errorf("error %v", err)
			}
			if got := d.names[target].content; got != "old!" && got != "new" {
				t.Errorf("the file holds %q", got)
			}
			if err != nil && len(d.names) != 1 {
				t.Errorf("left behind: %v", d.names)
			}
		})
	}
}

func TestMkdirAllSurvives(t *testing.T) {
	d := newFakeDisk()
	if err := mkdirAll(d, "/d/a/b", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/d/a", "/d/a/b"} {
		if !d.kept[dir] {
			t.Errorf("%s is lost with the power", dir)
		}
	}
}
