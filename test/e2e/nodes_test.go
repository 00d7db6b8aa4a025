package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
)

// distributedOnly leaves out a test of several nodes where one is under test.
func distributedOnly(t *testing.T) {
	t.Helper()
	if !distributed() {
		t.Skip("this is about several nodes: TOCSIN_E2E_MODE=distributed")
	}
}

// sharing is the environment of nodes over one database, one Kafka and one audit
// key.
func sharing(dsn string, brokers []string, dir string, partitions int) []string {
	return []string{
		"TOCSIN_STORE_URL=" + dsn,
		"TOCSIN_BUS_KIND=kafka",
		"TOCSIN_BUS_KAFKA_BROKERS=" + strings.Join(brokers, ","),
		fmt.Sprintf("TOCSIN_BUS_KAFKA_TOPIC_PREFIX=e2e-%x.", rand.Uint64()),
		fmt.Sprintf("TOCSIN_BUS_PARTITIONS=%d", partitions),
		"TOCSIN_SERVER_DRAIN_TIME=0s",
		"TOCSIN_AUDIT_KEY_FILE=" + filepath.Join(dir, "audit.key"),
	}
}

// A team is the nodes of one hub.
type team struct {
	nodes []*rig.Hub
	dir   string
}

// newTeam prepares nodes over a database and topics of their own, which are gone
// when the test is over.
func newTeam(t *testing.T, n int, brokers []string, more ...string) *team {
	t.Helper()
	tm := &team{dir: t.TempDir()}
	env := append(sharing(services.Postgres(t).DSN(t), brokers, tm.dir, 2*n), more...)
	for i := range n {
		h, err := rig.NewHub(binary, filepath.Join(tm.dir, fmt.Sprint("node", i)))
		if err != nil {
			t.Fatal(err)
		}
		h.Env = append(append([]string{}, env...), fmt.Sprintf("TOCSIN_SERVER_NODE=n%d", i))
		t.Cleanup(func() {
			if err := h.Kill(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("the last words of node %d:\n%s", i, lastLines(h.Stderr(), 60))
			}
		})
		tm.nodes = append(tm.nodes, h)
	}
	return tm
}

// start starts all nodes. The first goes ahead, because it makes the audit key.
func (tm *team) start(t *testing.T) {
	t.Helper()
	up(t, tm.nodes[0])
	var all sync.WaitGroup
	for _, h := range tm.nodes[1:] {
		all.Go(func() { upConcurrently(t, h) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// upConcurrently is up for any goroutine.
func upConcurrently(t *testing.T, h *rig.Hub) {
	if _, err := h.Up(t.Context()); err != nil {
		t.Error(err)
	}
}

// verified stops all nodes and checks the audit log that they share.
func (tm *team) verified(t *testing.T) {
	t.Helper()
	for _, h := range tm.nodes {
		stop(t, h)
	}
	h := tm.nodes[0]
	key, err := os.ReadFile(filepath.Join(tm.dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Dir, "audit.key"), key, 0o600); err != nil { // where audit verify looks
		t.Fatal(err)
	}
	verified(t, h)
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
