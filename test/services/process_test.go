package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a command that runs a script.
func shell(t *testing.T, script string) command {
	t.Helper()
	return command{name: "script", path: "/bin/sh", args: []string{"-c", script}, dir: "/", log: filepath.Join(t.TempDir(), "log")}
}

// printed waits until a line stands in the child's log.
func printed(t *testing.T, p *child, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := p.await(ctx, func(context.Context) error {
		if !strings.Contains(p.tail(), line) {
			return fmt.Errorf("%q has not been printed", line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// state is the letter the kernel gives a process: S sleeping, T stopped; "" if
// it is gone.
func state(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

func TestStopAsksFirst(t *testing.T) {
	p, err := spawn(shell(t, `trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.05; done`))
	if err != nil {
		t.Fatal(err)
	}
	printed(t, p, "up")
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var ended *exec.ExitError
	if !errors.As(p.err, &ended) || ended.ExitCode() != 3 || !strings.Contains(p.tail(), "asked") {
		t.Errorf("it ended with %v and printed %q, want code 3 and asked", p.err, p.tail())
	}
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Errorf("stopping it again gave %v", err)
	}
}

func TestKillTakesTheWholeGroup(t *testing.T) {
	p, err := spawn(shell(t, `sleep 600 & echo "child $!."; wait`))
	if err != nil {
		t.Fatal(err)
	}
	printed(t, p, ".")
	pid, err := strconv.Atoi(strings.TrimSuffix(strings.Fields(p.tail())[1], "."))
	if err != nil {
		t.Fatal(err)
	}
	p.kill()
	gone(t, pid)
}

// gone waits until a process that is not ours to wait for has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for s := state(pid); s != "" && s != "Z"; s = state(pid) {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("process %d still lives, state %s", pid, s)
		}
	}
}

func TestAwaitTellsWhyItEnded(t *testing.T) {
	p, err := spawn(shell(t, `echo no room; exit 7`))
	if err != nil {
		t.Fatal(err)
	}
	err = p.await(t.Context(), func(context.Context) error { return errors.New("not yet") })
	if !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "no room") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("got %v, want the end, its code and what it printed", err)
	}
}

// A process that is killed takes its servers and their folders with it. The
// test runs itself as that process.
func TestServersDieWithTheirProcess(t *testing.T) {
	if os.Getenv("SERVICES_TEST_OWNER") != "" {
		ownUntilKilled(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServersDieWithTheirProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "SERVICES_TEST_OWNER=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	for pid == 0 {
		var line string
		if _, err := fmt.Fscanln(out, &line, &pid, &dir); err != nil && line == "" {
			t.Fatal("the owner said nothing: ", err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	gone(t, pid)
	missing(t, dir)
}

func ownUntilKilled(t *testing.T) {
	p, err := settle("owner", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := shell(t, `echo up; sleep 600`)
	c.log = p.file("log")
	child, err := spawn(c)
	if err != nil {
		t.Fatal(err)
	}
	printed(t, child, "up")
	fmt.Println("owned", child.pid, p.dir)
	<-child.done
}

// missing waits until a path is gone.
func missing(t *testing.T, path string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal(path, " is still there")
		}
	}
}

func TestPortsAreTakenOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, lock, err := takePort()
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if seen[port] {
			t.Errorf("port %d was given twice", port)
		}
		seen[port] = true
		l, err := net.Listen("tcp", localhost(port))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

// needsTime skips a test that starts a real server when quick tests are wanted.
func needsTime(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a real server")
	}
}
