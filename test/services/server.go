package services

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"
)

// readyTime is how long a server may take until it answers. Alone on a machine
// it takes a tenth of it.
const readyTime = 5 * time.Minute

// A server is what all of them have in common: a place that stays, and a process
// that can come and go. Its methods are not for several goroutines at once.
type server struct {
	*place
	title  string // as people write it
	run    command
	ready  func(context.Context) error
	child  *child
	paused bool
}

// Start starts a server that was stopped or killed, on the same ports and data,
// and returns when it answers.
func (s *server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(t.Context()); err != nil {
		t.Fatalf("start %s: %v", s.title, err)
	}
}

// Stop shuts the server down in good order and returns when it has ended.
func (s *server) Stop(t testing.TB) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatalf("stop %s: %v", s.title, err)
	}
}

// Kill ends the server at once. It loses what it held in memory, but not what it
// handed to the kernel.
func (s *server) Kill(testing.TB) {
	s.child.kill()
	s.paused = false
}

// Pause stops the server where it is: it accepts connections and says nothing.
func (s *server) Pause(t testing.TB) {
	t.Helper()
	if err := s.child.signal(syscall.SIGSTOP); err != nil {
		t.Fatalf("pause %s: %v", s.title, err)
	}
	s.paused = true
}

// Resume lets a paused server go on.
func (s *server) Resume(t testing.TB) {
	t.Helper()
	if err := s.resume(); err != nil {
		t.Fatalf("resume %s: %v", s.title, err)
	}
}

func (s *server) start(ctx context.Context) error {
	if s.child != nil && s.child.alive() {
		return errors.New("it is running")
	}
	child, err := spawn(s.run)
	if err != nil {
		return err
	}
	s.child, s.paused = child, false
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if err := child.await(ctx, s.ready); err != nil {
		child.kill()
		return err
	}
	return nil
}

func (s *server) stop() error {
	s.paused = false
	return s.child.stop(syscall.SIGTERM)
}

func (s *server) resume() error {
	s.paused = false
	return s.child.signal(syscall.SIGCONT)
}

// revive makes a server run that a test left paused or stopped.
func (s *server) revive(ctx context.Context) error {
	if s.paused {
		return s.resume()
	}
	if s.child.alive() {
		return nil
	}
	return s.start(ctx)
}

// close ends the server without ceremony and deletes its folder.
func (s *server) close() error {
	if s.child != nil {
		s.child.kill()
	}
	return s.place.close()
}

// endWith ends the server with the test. What it printed last is shown if the
// test failed.
func (s *server) endWith(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of %s:\n%s", s.title, s.child.tail())
		}
		if err := s.close(); err != nil {
			t.Errorf("end %s: %v", s.title, err)
		}
	})
}

// share gives a test the server that all tests of this process share.
func (s *server) share(t testing.TB) {
	t.Helper()
	if err := s.revive(t.Context()); err != nil {
		t.Fatalf("%s does not come back after another test: %v", s.title, err)
	}
}
