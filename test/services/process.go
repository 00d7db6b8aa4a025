package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long a server may take to end after it was asked to. Kafka
// hands over its partitions and PostgreSQL writes a checkpoint in this time.
const stopGrace = 30 * time.Second

var errEnded = errors.New("the process has ended")

// A command says how a program is started.
type command struct {
	name string              // for messages: "kafka"
	path string              // the program
	args []string            // without the program's name
	env  []string            // in full: nothing is inherited
	dir  string              // its working folder
	log  string              // a file that gets what it prints, appended
	in   []byte              // the beginning of its standard input, which then stays open; none if nil
	as   *syscall.Credential // whom it runs as; nil is who we are
}

// A child is a process in a group of its own, which dies with this process even
// if that is killed. Signals go to the whole group.
type child struct {
	command
	pid  int
	done chan struct{} // closed when it has ended and was waited for
	err  error         // how it ended; read it after done

	mu    sync.Mutex // guards ended, so that no signal goes to a number that was given to another process
	ended bool
}

// spawn starts a program and returns when it runs, which is long before it is
// ready.
func spawn(c command) (*child, error) {
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := c.cmd()
	cmd.Stdout, cmd.Stderr = out, out
	p := &child{command: c, done: make(chan struct{})}
	started := make(chan error)
	go p.own(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return p, nil
}

func (c command) cmd() *exec.Cmd {
	cmd := exec.Command(c.path, c.args...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = append([]string{}, c.env...), c.dir, attributes(c.as)
	return cmd
}

// own is the goroutine that starts the process and waits for it. It keeps its
// thread, because the kernel kills the child when the thread that started it
// ends, not the process.
func (p *child) own(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.start(cmd); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	awaitEnd(p.pid)
	p.mu.Lock()
	_ = syscall.Kill(-p.pid, syscall.SIGKILL) // what it left behind in its group
	p.err = cmd.Wait()
	p.ended = true
	p.mu.Unlock()
	close(p.done)
}

// start starts the process and hands it the beginning of its input, which must
// fit a pipe's buffer.
func (p *child) start(cmd *exec.Cmd) error {
	if p.in == nil {
		return cmd.Start()
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_, _ = in.Write(p.in) // if it fails, the process has ended and that is the news
	return nil
}

// signal sends to the whole group.
func (p *child) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return errEnded
	}
	return syscall.Kill(-p.pid, sig)
}

// alive says whether the process has not ended yet.
func (p *child) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop asks the process to end with sig, waits until it has, and kills it when
// it takes too long, which is an error. A paused process goes on first.
func (p *child) stop(sig syscall.Signal) error {
	if errors.Is(p.signal(sig), errEnded) {
		return nil
	}
	_ = p.signal(syscall.SIGCONT)
	late := time.NewTimer(stopGrace)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		p.kill()
		return fmt.Errorf("%s did not end within %v and was killed:\n%s", p.name, stopGrace, p.tail())
	}
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *child) kill() {
	_ = p.signal(syscall.SIGKILL)
	<-p.done
}

// tail gives the last lines the process printed, for messages.
func (p *child) tail() string { return tail(p.log) }

func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// await asks probe again and again until it is content. It gives up when the
// process ends or ctx does, with what probe said last and what the process
// printed.
func (p *child) await(ctx context.Context, probe func(context.Context) error) error {
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-p.done:
			return fmt.Errorf("%s ended (%w) before it was ready:\n%s", p.name, errors.Join(p.err, errEnded), p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (%w):\n%s", p.name, err, ctx.Err(), p.tail())
		}
	}
}

// run runs a program to its end. What it prints goes to its log, and into the
// error when it fails.
func (c command) run(ctx context.Context) error {
	p, err := spawn(c)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("%s: %w:\n%s", c.name, ctx.Err(), p.tail())
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w:\n%s", c.name, p.err, p.tail())
	}
	return nil
}

// unprivileged is whom a server runs as that refuses to run as root: nobody if
// we are root, else nil, who we are.
func unprivileged() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	const nobody = 65534
	return &syscall.Credential{Uid: nobody, Gid: nobody}
}

// own gives a folder and what is in it to the user as; nil changes nothing.
func own(dir string, as *syscall.Credential) error {
	if as == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(as.Uid), int(as.Gid))
	})
}
