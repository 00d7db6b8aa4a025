package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
)

// most is with how many nodes the last measurement is made.
const most = 3

// measureCluster measures what one, two and three nodes sustain over the same
// Kafka and PostgreSQL, and what kafka-go does with the same Kafka when nothing
// else is to be done. All of it runs on the same cores, so that more nodes only
// tell what their living together costs.
func measureCluster(ctx context.Context, b *bench) error {
	return services.Run(ctx, []string{"kafka", "postgres"}, func(a services.Addresses) error {
		ceiling, err := b.kafkaCeiling(ctx, a.Kafka)
		if err != nil {
			return err
		}
		for n := 1; n <= most; n++ {
			r, err := b.nodes(ctx, a, n)
			if err != nil {
				return fmt.Errorf("%d nodes: %w", n, err)
			}
			r.limit(ceiling, "kafka-go, in and out twice")
			b.add(r)
		}
		return nil
	})
}

// nodes measures n hubs over a database and topics of their own.
func (b *bench) nodes(ctx context.Context, a services.Addresses, n int) (row, error) {
	e := &end{bench: b}
	receiver, err := rig.NewReceiver(e.take)
	if err != nil {
		return row{}, err
	}
	defer receiver.Close() //nolint:errcheck // nothing comes any more
	e.receiver = receiver
	config, err := e.config()
	if err != nil {
		return row{}, err
	}
	hubs, err := b.cluster(ctx, a, n, config)
	for _, h := range hubs {
		defer h.Kill() //nolint:errcheck // its data is thrown away
	}
	if err != nil {
		return row{}, err
	}
	e.hub = hubs[0]
	return e.together(ctx, hubs)
}

// cluster starts n hubs that share a new database.
func (b *bench) cluster(ctx context.Context, a services.Addresses, n int, config string) ([]*rig.Hub, error) {
	name := fmt.Sprintf("bench%d", n)
	dsn, err := newDatabase(ctx, a.Postgres, name)
	if err != nil {
		return nil, err
	}
	var hubs []*rig.Hub
	for i := range n {
		h, err := rig.NewHub(b.binary, filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, i)))
		if err != nil {
			return hubs, err
		}
		h.Config = config
		h.Env = []string{
			"TOCSIN_LOG_LEVEL=warn", fmt.Sprintf("TOCSIN_SERVER_NODE=node%d", i), "TOCSIN_AUDIT_KEY_FILE=" + filepath.Join(b.dir, name+".key"),
			"TOCSIN_STORE_URL=" + dsn, "TOCSIN_BUS_KIND=kafka", "TOCSIN_BUS_KAFKA_BROKERS=" + strings.Join(a.Kafka, ","),
			"TOCSIN_BUS_KAFKA_TOPIC_PREFIX=" + name + ".",
		}
		hubs = append(hubs, h)
		if err := up(ctx, h); err != nil { // one after the other: the first makes the tables and the key
			return hubs, err
		}
	}
	return hubs, nil
}

func newDatabase(ctx context.Context, dsn, name string) (string, error) {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return "", err
	}
	_, err = c.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	if err := errors.Join(err, c.Close(ctx)); err != nil {
		return "", err
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// together finds the most that the hubs take when each gets its share.
func (e *end) together(ctx context.Context, hubs []*rig.Hub) (row, error) {
	lasts, warm := e.lasts(40*time.Second, 8*time.Second), e.lasts(10*time.Second, 3*time.Second)
	f := &flow{findings: rig.Findings{Run: e.run("nodes")}, clock: newStopwatch(2_000_000), credit: make(chan struct{}, underWay)}
	e.flow.Store(f)
	begin := time.Now()
	type moment struct {
		at    time.Time
		n     int
		usage map[string]time.Duration
	}
	var from, to moment
	var measured sync.WaitGroup
	look := func(m *moment, at time.Time) {
		select {
		case <-time.After(time.Until(at)):
		case <-ctx.Done():
		}
		*m = moment{time.Now(), int(f.clock.stopped.Load()), cpuByName()}
	}
	measured.Go(func() { look(&from, begin.Add(warm)); look(&to, begin.Add(lasts)) })
	sent := make([]rig.Sent, len(hubs))
	var loads sync.WaitGroup
	for k, h := range hubs {
		l := &rig.Load{
			URL: h.URL("/api/v1/findings"), Key: rig.Key, Callers: 64 / len(hubs),
			Started: func(i int, at time.Time) { f.clock.start(i*len(hubs)+k, at) },
			Body: func(b []byte, i int) ([]byte, bool) {
				if i = i*len(hubs) + k; time.Since(begin) > lasts || i >= len(f.clock.taken) {
					return b, false
				}
				select {
				case f.credit <- struct{}{}:
					return f.findings.Append(b, i), true
				case <-time.After(30 * time.Second):
					return b, false // the hubs have stopped delivering: what came says so
				}
			},
		}
		loads.Go(func() { sent[k] = l.Run(ctx) })
	}
	loads.Wait()
	measured.Wait()
	good, posts := 0, 0
	for _, s := range sent {
		if err := worked(s); err != nil {
			return row{}, err
		}
		good, posts = good+s.Good, posts+s.Posts
	}
	if err := e.settle(ctx, f, good); err != nil {
		return row{}, err
	}
	r := row{
		Part: "cluster", Name: fmt.Sprintf("end to end sustained by %d nodes over Kafka and PostgreSQL", len(hubs)), Unit: "findings", Lag: underWay,
		PerSecond: float64(to.n-from.n) / to.at.Sub(from.at).Seconds(),
	}
	r.times(f.clock.times(from.n, posts))
	r.Note = "CPU s per 1,000 findings:"
	for _, name := range []string{"tocsin", "java", "postgres", "bench"} {
		each := (to.usage[name] - from.usage[name]).Seconds() * 1000 / float64(max(to.n-from.n, 1))
		if r.Note += fmt.Sprintf(" %s %.3f", name, each); name == "tocsin" {
			r.CPU = each
		}
	}
	return r, e.outcomes(ctx)
}

// cpuByName sums the CPU time of this process ("bench") and of all that it
// started, by the name of the program.
func cpuByName() map[string]time.Duration {
	parents, names := map[string]string{}, map[string]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		pid, rest, _ := strings.Cut(string(text), " (")
		end := strings.LastIndexByte(rest, ')')
		if fields := strings.Fields(rest[end+1:]); end > 0 && len(fields) > 1 {
			parents[pid], names[pid] = fields[1], rest[:end]
		}
	}
	self := fmt.Sprint(os.Getpid())
	ours := func(pid string) bool {
		for pid != "" && pid != self {
			pid = parents[pid]
		}
		return pid == self
	}
	sums := map[string]time.Duration{}
	for pid, name := range names {
		if !ours(pid) {
			continue
		}
		var n int
		if _, err := fmt.Sscan(pid, &n); err != nil {
			continue
		}
		if pid == self {
			name = "bench"
		}
		if u, err := rig.UsageOf(n); err == nil {
			sums[name] += u.CPU
		}
	}
	return sums
}
