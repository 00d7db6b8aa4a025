package services

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// postgresReady is how long PostgreSQL may take until it answers; after a crash
// it reads its log first.
const postgresReady = 60 * time.Second

// A PostgresServer is a running PostgreSQL. All tests of a process share one,
// each in databases of its own; a test that stops, kills or pauses it must not
// run in parallel with others, and finds it running when it begins.
type PostgresServer struct {
	*place
	bin   string
	as    *syscall.Credential
	child *child
	down  bool // paused
	named atomic.Int64
}

// sharedPostgres is the server of this process. It ends with the process: the
// kernel asks it to, and the reaper removes its folder.
var sharedPostgres = sync.OnceValues(newPostgres)

// Postgres gives the PostgreSQL of this test process, up and running.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	p, err := sharedPostgres()
	if err == nil {
		err = p.revive()
	}
	if err != nil {
		giveUp(t, "PostgreSQL", err)
	}
	t.Cleanup(func() {
		if err := p.revive(); err != nil {
			t.Errorf("PostgreSQL did not come back after the test: %v", err)
		}
	})
	return p
}

// revive makes a server run that a test has left paused or stopped.
func (p *PostgresServer) revive() error {
	if p.down {
		p.resume()
	}
	if p.child.alive() {
		return nil
	}
	return p.start()
}

func newPostgres() (*PostgresServer, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	p := &PostgresServer{bin: bin, as: unprivileged()}
	if p.place, err = settle("postgres", 1, p.as); err != nil {
		return nil, err
	}
	if err := p.init(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if err := p.start(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// postgresBin finds the programs of the newest PostgreSQL there is. Debian does
// not put them into the path.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(found, func(a, b string) int { return binVersion(b) - binVersion(a) })
	for _, bin := range found {
		if _, err := os.Stat(filepath.Join(bin, "initdb")); err == nil {
			return bin, nil
		}
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", &missingError{"initdb", "install PostgreSQL's server (Debian: apt-get install postgresql)"}
	}
	return filepath.Dir(path), nil
}

// binVersion is the version that Debian's folder is named after; 0 for another.
func binVersion(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}

// init makes the data folder. The cluster sorts by the rules of a language, as
// many do, so that a test notices who relies on the order of bytes.
func (p *PostgresServer) init() error {
	ctx, cancel := context.WithTimeout(context.Background(), postgresReady)
	defer cancel()
	args := []string{
		"-D", p.file("data"), "-U", "tocsin", "--auth=trust", "--no-sync", "--no-instructions", "--encoding=UTF8",
		"--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US",
	}
	err := p.command("initdb", args...).run(ctx)
	if err != nil { // built without ICU
		err = errors.Join(os.RemoveAll(p.file("data")), p.command("initdb", args[:len(args)-2]...).run(ctx))
	}
	return err
}

func (p *PostgresServer) command(program string, args ...string) command {
	return command{
		name: program, path: filepath.Join(p.bin, program), args: args, dir: p.dir, log: p.file("log"), as: p.as,
		env: []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC", "PGCONNECT_TIMEOUT=5"},
	}
}

// start starts the server and waits until it answers.
func (p *PostgresServer) start() error {
	c := p.command("postgres", "-D", p.file("data"), "-p", p.port(),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+p.dir, "-c", "fsync=on",
		"-c", "shared_buffers=64MB", "-c", "max_connections=100")
	if runtime.GOOS == "linux" && binVersion(p.bin) >= 14 { // after a crash, one call instead of one for each file
		c.args = append(c.args, "-c", "recovery_init_sync_method=syncfs")
	}
	child, err := spawnAsking(c)
	if err != nil {
		return err
	}
	p.child, p.down = child, false
	ctx, cancel := context.WithTimeout(context.Background(), postgresReady)
	defer cancel()
	err = child.await(ctx, func(ctx context.Context) error {
		return p.command("pg_isready", "-q", "-h", "127.0.0.1", "-p", p.port()).quiet(ctx)
	})
	if err != nil {
		child.kill()
	}
	return err
}

// quiet runs a program whose exit code alone matters.
func (c command) quiet(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = c.env, c.dir, &syscall.SysProcAttr{Credential: c.as}
	return cmd.Run()
}

// spawnAsking is spawn for a server that is to end in an orderly way, and quickly,
// when this process ends, because it holds shared memory of the system.
func spawnAsking(c command) (*child, error) {
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := c.cmd()
	cmd.Stdout, cmd.Stderr = out, out
	quitWithUs(cmd)
	p := &child{command: c, done: make(chan struct{})}
	started := make(chan error)
	go p.own(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return p, nil
}

func (p *PostgresServer) port() string { return strconv.Itoa(p.ports[0]) }

// Stop shuts the server down as an administrator does: open sessions are told
// and cut off, and what was committed is on the disk.
func (p *PostgresServer) Stop(t testing.TB) {
	t.Helper()
	if err := p.child.stop(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// Start starts a server that was stopped or killed, on the same port and data.
func (p *PostgresServer) Start(t testing.TB) {
	t.Helper()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server and all of its sessions as a power cut does, but that what
// was handed to the kernel stays.
func (p *PostgresServer) Kill(t testing.TB) {
	t.Helper()
	p.toAll(syscall.SIGSTOP) // so that it starts no more sessions
	sessions := childrenOf(p.child.pid)
	p.toAll(syscall.SIGKILL)
	<-p.child.done
	p.down = false
	limit := time.Now().Add(postgresReady)
	for slices.ContainsFunc(sessions, runs) { // a server does not start over memory that one of them still has
		if time.Now().After(limit) {
			t.Fatal("a session of PostgreSQL outlives its kill")
		}
		time.Sleep(time.Millisecond)
	}
}

// runs reports whether a process has not ended yet, whoever waits for it.
func runs(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}

// Pause stops every process of the server where it is: sessions stay open and say
// nothing.
func (p *PostgresServer) Pause(testing.TB) {
	p.toAll(syscall.SIGSTOP)
	p.down = true
}

// Resume lets a paused server go on.
func (p *PostgresServer) Resume(testing.TB) { p.resume() }

func (p *PostgresServer) resume() {
	p.toAll(syscall.SIGCONT)
	p.down = false
}

// toAll sends to the server and then to its sessions, which are in groups of
// their own.
func (p *PostgresServer) toAll(sig syscall.Signal) {
	sessions := childrenOf(p.child.pid)
	if sig == syscall.SIGSTOP {
		_ = p.child.signal(sig)
		sessions = childrenOf(p.child.pid)
	}
	for _, pid := range sessions {
		_ = syscall.Kill(pid, sig) // it may have ended
	}
	_ = p.child.signal(sig)
}

// childrenOf lists the processes that pid has started.
func childrenOf(pid int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest) // state, parent …
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		all = append(all, n)
	}
	return all
}

// DSN makes an empty database for the test and gives its address. The database
// goes away with the server: dropping it would make that write out all there is.
func (p *PostgresServer) DSN(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", p.named.Add(1))
	p.admin(t, "createdb", name)
	return (&url.URL{Scheme: "postgres", User: url.User("tocsin"), Host: "127.0.0.1:" + p.port(), Path: "/" + name}).String()
}

func (p *PostgresServer) admin(t testing.TB, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), postgresReady)
	defer cancel()
	args = append([]string{"-h", "127.0.0.1", "-p", p.port(), "-U", "tocsin"}, args...)
	if err := p.command(program, args...).run(ctx); err != nil {
		t.Fatal(err)
	}
}

// Cut ends all sessions of all databases, as a firewall that forgets does, but
// that both sides are told.
func (p *PostgresServer) Cut(t testing.TB) {
	t.Helper()
	p.admin(t, "psql", "-q", "-d", "postgres", "-c", "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
}
