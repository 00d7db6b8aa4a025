package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
)

// moved is how many findings each hub on the way is given.
const moved = 1500

// A hub that is killed with findings accepted and not triaged is moved to
// PostgreSQL and Kafka, goes on there, is killed again, and is moved back: every
// finding is in an alert, and each problem is one alert.
func TestMoveOfAHub(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Kafka and PostgreSQL")
	}
	kafka, url := services.SharedKafka(t), services.Postgres(t).DSN(t)
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "data", "tocsin.db")
	m := &mover{t: t, ids: map[string]bool{}}
	first := m.hub(binary, dir)
	m.up(first)
	m.submit(first, 0)
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	waiting := m.run(first, "migrate", "--data", first.Dir, "--from", "sqlite:"+file, "--to", url)

	second := m.hub(binary, filepath.Join(dir, "node"))
	second.Env = []string{
		"TOCSIN_STORE_URL=" + url, "TOCSIN_BUS_KIND=kafka", "TOCSIN_BUS_KAFKA_BROKERS=" + strings.Join(kafka.Brokers(), ","),
		"TOCSIN_BUS_KAFKA_TOPIC_PREFIX=moved.", "TOCSIN_BUS_PARTITIONS=3",
	}
	if _, err := second.Up(t.Context()); err == nil {
		t.Fatal("a node with another audit key starts")
	}
	second.Env = append(second.Env, "TOCSIN_AUDIT_KEY_FILE="+filepath.Join(first.Dir, "audit.key"))
	m.up(second)
	m.allTriaged(second)
	m.submit(second, moved/2) // half of these problems are known
	m.allTriaged(second)
	m.verified(second, "audit", "verify", "--data", first.Dir, "--store", url)
	m.submit(second, 2*moved)
	if err := second.Kill(); err != nil {
		t.Fatal(err)
	}

	third := m.hub(binary, filepath.Join(dir, "back"))
	config := filepath.Join(dir, "nodes.yaml") // says where Kafka is, for what waits there
	text := fmt.Sprintf("store: {url: %q}\nbus: {kind: kafka, partitions: 3, kafka: {brokers: [%s], topic_prefix: moved.}}\n", url, strings.Join(kafka.Brokers(), ", "))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	back := m.run(third, "migrate", "--config", config, "--data", first.Dir, "--from", url, "--to", "sqlite:"+filepath.Join(dir, "back.db"))
	third.Env = []string{"TOCSIN_STORE_URL=sqlite:" + filepath.Join(dir, "back.db"), "TOCSIN_AUDIT_KEY_FILE=" + filepath.Join(first.Dir, "audit.key")}
	m.up(third)
	m.allTriaged(third)
	m.oneAlertEach(third, 5*moved/2)
	m.verified(third, "audit", "verify", "--data", first.Dir, "--store", "sqlite:"+filepath.Join(dir, "back.db"))
	t.Logf("waiting when it was moved: %s; and back: %s", waiting, back)
}

type mover struct {
	t   *testing.T
	ids map[string]bool // of all findings that were accepted
}

func (m *mover) hub(binary, dir string) *rig.Hub {
	m.t.Helper()
	h, err := rig.NewHub(binary, dir)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if err := h.Kill(); err != nil {
			m.t.Error(err)
		}
		if m.t.Failed() {
			m.t.Logf("%s's last words:\n%s", dir, h.Stderr())
		}
	})
	return h
}

func (m *mover) up(h *rig.Hub) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	if _, err := h.Up(ctx); err != nil {
		m.t.Fatal(err)
	}
}

// submit submits findings of problems from one on, in batches.
func (m *mover) submit(h *rig.Hub, from int) {
	m.t.Helper()
	for at := from; at < from+moved; at += 500 {
		var batch []map[string]any
		for i := at; i < at+500; i++ {
			batch = append(batch, map[string]any{"type": "xss", "asset_id": fmt.Sprint("asset-", i), "severity": "high", "source": "move", "observed_at": time.Now().UTC()})
		}
		var answer struct {
			IDs []string `json:"ids"`
		}
		if err := h.Post(m.t.Context(), "/findings/batch", batch, &answer); err != nil || len(answer.IDs) != 500 {
			m.t.Fatalf("a batch gave %d ids, %v", len(answer.IDs), err)
		}
		for _, id := range answer.IDs {
			m.ids[id] = true
		}
	}
}

// run runs a command of the program and gives the lines on what waits.
func (m *mover) run(h *rig.Hub, args ...string) string {
	m.t.Helper()
	code, out, err := h.Run(m.t.Context(), args...)
	if err != nil || code != 0 {
		m.t.Fatalf("%v: %d, %v\n%s", args, code, err, out)
	}
	var lines []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "wait to be handled") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, ", ")
}

func (m *mover) verified(h *rig.Hub, args ...string) {
	m.t.Helper()
	if code, out, err := h.Run(m.t.Context(), args...); err != nil || code != 0 || !strings.HasPrefix(out, "intact: ") {
		m.t.Errorf("%v: %d, %v\n%s", args, code, err, out)
	}
}

// allTriaged waits until every finding that was accepted is in an alert.
func (m *mover) allTriaged(h *rig.Hub) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	missing := 0
	err := rig.Poll(ctx, 200*time.Millisecond, func() bool {
		there := map[string]bool{}
		each(ctx, m.t, h, "/findings?limit=200", func(f row) {
			there[f.ID] = f.AlertID != ""
		})
		missing = 0
		for id := range m.ids {
			if !there[id] {
				missing++
			}
		}
		return missing == 0
	})
	if err != nil {
		m.t.Fatalf("of %d findings that were accepted, %d are in no alert", len(m.ids), missing)
	}
}

// oneAlertEach checks that there is one alert for each problem.
func (m *mover) oneAlertEach(h *rig.Hub, problems int) {
	m.t.Helper()
	assets, alerts := map[string]bool{}, 0
	each(m.t.Context(), m.t, h, "/alerts?limit=200", func(a row) {
		assets[a.AssetID] = true
		alerts++
	})
	if len(assets) != problems || alerts != problems {
		m.t.Errorf("%d alerts of %d assets, want %d", alerts, len(assets), problems)
	}
}

type row struct {
	ID      string `json:"id"`
	AlertID string `json:"alert_id"`
	AssetID string `json:"asset_id"`
}

// each calls yield for everything in a list.
func each(ctx context.Context, t *testing.T, h *rig.Hub, path string, yield func(row)) {
	t.Helper()
	for after := ""; ; {
		var part struct {
			Data       []row  `json:"data"`
			NextCursor string `json:"next_cursor"`
		}
		if err := h.Get(ctx, path+"&after="+after, &part); err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		for _, r := range part.Data {
			yield(r)
		}
		if after = part.NextCursor; after == "" {
			return
		}
	}
}
