package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if binary = os.Getenv("TOCSIN_E2E_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "tocsin-e2e-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if binary, err = rig.Build(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// newHub prepares a hub that is gone when the test is over. The environment may
// be extended and a wrapper set before it is started.
func newHub(t *testing.T) *rig.Hub {
	t.Helper()
	return hubIn(t, t.TempDir())
}

func hubIn(t *testing.T, dir string) *rig.Hub {
	t.Helper()
	h, err := rig.NewHub(binary, dir)
	if err != nil {
		t.Fatal(err)
	}
	if distributed() {
		h.Env = append(h.Env, shared(t)...)
	}
	t.Cleanup(func() {
		if err := h.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the hub's last words:\n%s", h.Stderr())
		}
	})
	return h
}

// distributed reports whether the hubs under test run over Kafka and PostgreSQL:
// TOCSIN_E2E_MODE=distributed go test ./test/e2e
func distributed() bool { return os.Getenv("TOCSIN_E2E_MODE") == "distributed" }

// shared is the environment of hubs over a database and topics of their own.
func shared(t *testing.T) []string {
	t.Helper()
	return []string{
		"TOCSIN_STORE_URL=" + services.Postgres(t).DSN(t),
		"TOCSIN_BUS_KIND=kafka",
		"TOCSIN_BUS_KAFKA_BROKERS=" + strings.Join(services.SharedKafka(t).Brokers(), ","),
		fmt.Sprintf("TOCSIN_BUS_KAFKA_TOPIC_PREFIX=e2e-%x.", rand.Uint64()),
		"TOCSIN_BUS_PARTITIONS=3",
		"TOCSIN_SERVER_DRAIN_TIME=0s", // nobody looks at /ready
	}
}

// embeddedOnly leaves out a test of the file that an embedded hub keeps.
func embeddedOnly(t *testing.T) {
	t.Helper()
	if distributed() {
		t.Skip("this is about the database file of an embedded hub")
	}
}

// up starts the hub and waits until it takes requests.
func up(t *testing.T, h *rig.Hub) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	took, err := h.Up(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return took
}

// running is a new hub that takes requests.
func running(t *testing.T) *rig.Hub {
	t.Helper()
	h := newHub(t)
	up(t, h)
	return h
}

// number reads a setting.
func number(t *testing.T, name string, full, short int) int {
	t.Helper()
	if text := os.Getenv(name); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s=%q is no number", name, text)
		}
		return n
	}
	if testing.Short() {
		return short
	}
	return full
}

// random makes a source of chance whose seed is told if the test fails.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(number(t, "TOCSIN_E2E_SEED", int(time.Now().UnixNano()&(1<<52-1)), 1))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to try the same again: TOCSIN_E2E_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// missing skips the test on a laptop and fails it in CI, where everything that
// the tests need is there.
func missing(t *testing.T, what, remedy string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s; in CI it has to be there: %s", what, remedy)
	}
	t.Skipf("NOT TESTED: %s. To test it: %s", what, remedy)
}

// verified checks the audit log of a hub that has stopped.
func verified(t *testing.T, h *rig.Hub) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := []string{"audit", "verify", "--data", h.Dir}
	for _, v := range h.Env {
		if url, ok := strings.CutPrefix(v, "TOCSIN_STORE_URL="); ok {
			args = append(args, "--store", url)
		}
	}
	code, text, err := h.Run(ctx, args...)
	if err != nil || code != 0 {
		t.Errorf("audit verify: exit %d, %v: %s; want 0", code, err, text)
	}
}

func stop(t *testing.T, h *rig.Hub) {
	t.Helper()
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := rig.Poll(ctx, 20*time.Millisecond, done); err != nil {
		t.Fatalf("%s: not within %v", what, within)
	}
}

// timeLimit fires when a test has waited too long for one thing.
func timeLimit(t *testing.T) <-chan time.Time {
	t.Helper()
	return time.After(30 * time.Second)
}

// timeLong is much longer than anything here takes.
const timeLong = 30 * time.Second
