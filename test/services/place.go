package services

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// A place is what a server keeps from its first start to its end: a folder and
// some ports.
type place struct {
	dir    string
	ports  []int
	locks  []*os.File
	leave  func() error // tells the reaper to delete the folder, and waits for it
	closed sync.Once
}

// settle makes a place for the server called name, its folder owned by as.
func settle(name string, ports int, as *syscall.Credential) (*place, error) {
	dir, err := os.MkdirTemp("", "tocsin-"+name+"-")
	if err != nil {
		return nil, err
	}
	p := &place{dir: dir}
	if p.leave, err = reaper(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for range ports {
		port, lock, err := takePort()
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.ports, p.locks = append(p.ports, port), append(p.locks, lock)
	}
	if err := own(dir, as); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// file is a path in the place's folder.
func (p *place) file(name ...string) string {
	return filepath.Join(append([]string{p.dir}, name...)...)
}

// mkdir makes folders in the place's folder, for the user as.
func (p *place) mkdir(as *syscall.Credential, names ...string) error {
	for _, n := range names {
		if err := os.MkdirAll(p.file(n), 0o755); err != nil {
			return err
		}
		if err := own(p.file(n), as); err != nil {
			return err
		}
	}
	return nil
}

// close deletes the folder and gives the ports back. The server must have ended.
func (p *place) close() (err error) {
	p.closed.Do(func() {
		err = p.leave()
		for _, l := range p.locks {
			err = errors.Join(err, l.Close())
		}
	})
	return err
}

// reaper starts a process that deletes dir when the returned function is called
// or when this process ends, in whatever way. It tries again for as long as a
// dying server still writes there.
func reaper(dir string) (func() error, error) {
	cmd := exec.Command("/bin/sh", "-c", `cat >/dev/null; for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" && exit 0; sleep 0.3; done; exit 1`, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is not for it
	cmd.Dir = "/"
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error {
		err := in.Close()
		if errors.Is(err, os.ErrClosed) {
			err = nil
		}
		return errors.Join(err, cmd.Wait())
	}, nil
}

// Ports come from below the range that the kernel gives to outgoing
// connections, so that none takes a server's port while it is stopped.
const firstPort, lastPort = 18000, 32000

// takePort finds a port that nothing listens on and that no other test process
// takes until the file is closed.
func takePort() (int, *os.File, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tocsin-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, nil, err
	}
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return 0, nil, err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && isFree(port) {
			return port, f, nil
		}
		f.Close()
	}
	return 0, nil, errors.New("no free port was found")
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", localhost(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// localhost is an address of this machine.
func localhost(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// A missingError says which tool is not there and how to get it.
type missingError struct{ what, get string }

func (e *missingError) Error() string { return e.what + " is missing: " + e.get }

// need looks for a program, and says how to get it where it is not found.
func need(program, get string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", &missingError{program, get}
	}
	return path, nil
}

// giveUp ends a test that cannot have its server. It fails, unless a tool is
// missing on somebody's own machine: then the test is skipped, with the reason.
func giveUp(t testing.TB, server string, err error) {
	t.Helper()
	var missing *missingError
	if !errors.As(err, &missing) || os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", server, err)
	}
	note := fmt.Sprintf("SKIPPED for want of %s: %s needs a real %s. %s", missing.what, t.Name(), server, missing.get)
	fmt.Fprintln(os.Stderr, note)
	t.Skip(note)
}
