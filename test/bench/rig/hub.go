package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Hub is the program as a process, on a data folder and an address that stay
// the same over its lives. Its methods are not for several goroutines at once,
// but for Kill, Alive, Stderr and URL.
type Hub struct {
	Binary string
	Dir    string   // data folder
	Addr   string   // host:port
	Config string   // file, or ""
	Env    []string // beside what every hub gets
	Wrap   []string // a command in front, such as strace with its flags

	mu     sync.Mutex // guards cmd and ended
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process is gone
	status error         // read after ended
	stderr tail
}

// NewHub prepares a hub below folder dir, on a free address.
func NewHub(binary, dir string) (*Hub, error) {
	addr, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	return &Hub{Binary: binary, Dir: filepath.Join(dir, "data"), Addr: addr}, nil
}

// URL gives the address of a path of the hub.
func (h *Hub) URL(path string) string { return "http://" + h.Addr + path }

// Start starts the process and does not wait for it.
func (h *Hub) Start() error {
	args := append(append([]string{}, h.Wrap...), h.Binary, "serve", "--data", h.Dir, "--listen", h.Addr)
	if h.Config != "" {
		args = append(args, "--config", h.Config)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(plainEnviron(),
		"TOCSIN_API_KEY="+Key, "TOCSIN_ADMIN_EMAIL=owner@example.com", "TOCSIN_ADMIN_PASSWORD=rig-owner-password-1",
		"TOCSIN_RELAY_ALLOW_NETWORKS=127.0.0.0/8")
	cmd.Env = append(cmd.Env, h.Env...)
	cmd.Stderr, cmd.Stdout = &h.stderr, &h.stderr
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	ended := make(chan struct{})
	h.mu.Lock()
	h.cmd, h.ended = cmd, ended
	h.mu.Unlock()
	go func() {
		h.status = cmd.Wait()
		close(ended)
	}()
	return nil
}

// plainEnviron is the environment without what would configure a hub.
func plainEnviron() []string {
	var out []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TOCSIN_") {
			out = append(out, v)
		}
	}
	return out
}

func (h *Hub) process() (*exec.Cmd, chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cmd, h.ended
}

// PID gives the id of the process; 0 if none was started.
func (h *Hub) PID() int {
	if cmd, _ := h.process(); cmd != nil {
		return cmd.Process.Pid
	}
	return 0
}

// Ended gives a channel that is closed when the process is gone.
func (h *Hub) Ended() <-chan struct{} {
	_, ended := h.process()
	return ended
}

// Ready waits until the hub takes requests.
func (h *Hub) Ready(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := h.Ended()
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	var last error
	err := Poll(ctx, 5*time.Millisecond, func() bool {
		var status int
		status, last = probe(ctx, client, h.URL("/ready"))
		return status == http.StatusOK
	})
	if err == nil {
		return nil
	}
	select {
	case <-ended:
		return fmt.Errorf("the hub ended while it started (%v):\n%s", h.status, h.Stderr())
	default:
		return fmt.Errorf("the hub is not ready (%w; %v):\n%s", err, last, h.Stderr())
	}
}

func probe(ctx context.Context, client *http.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// Up starts the hub and waits until it takes requests; it tells how long that
// took.
func (h *Hub) Up(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	if err := h.Start(); err != nil {
		return 0, err
	}
	err := h.Ready(ctx)
	return time.Since(start), err
}

// Kill ends the process as kill -9 does and waits until it is gone. The group
// is only this hub's.
func (h *Hub) Kill() error { return h.signal(syscall.SIGKILL, 10*time.Second) }

// Stop asks the process to end and waits until it has; an exit status other
// than 0 is an error.
func (h *Hub) Stop() error {
	if err := h.signal(syscall.SIGTERM, 30*time.Second); err != nil {
		return err
	}
	if h.status != nil {
		return fmt.Errorf("the hub did not end cleanly: %w\n%s", h.status, h.Stderr())
	}
	return nil
}

func (h *Hub) signal(sig syscall.Signal, within time.Duration) error {
	cmd, ended := h.process()
	if cmd == nil {
		return nil
	}
	select {
	case <-ended:
		return nil // its id may be another process by now
	default:
	}
	if err := signalGroup(cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-time.After(within):
		return fmt.Errorf("process %d did not end within %v of %v\n%s", cmd.Process.Pid, within, sig, h.Stderr())
	}
}

// Stderr gives the last of what the hub printed, over all its lives.
func (h *Hub) Stderr() string { return h.stderr.String() }

// Run runs another command of the program and gives its exit code and output.
func (h *Hub) Run(ctx context.Context, args ...string) (code int, output string, err error) {
	cmd := exec.CommandContext(ctx, h.Binary, args...)
	cmd.Env = plainEnviron()
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), string(text), nil
	}
	return 0, string(text), err
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

const tailSize = 64 << 10

// Write keeps p, and of what came before as much as has room.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	return len(p), nil
}

// String gives what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
