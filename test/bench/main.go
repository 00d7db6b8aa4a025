// Bench measures this machine and the hub on it, side by side:
//
//	disk       fsync of this disk, alone and grouped
//	http       POST of 1 KiB over loopback to a server that does nothing
//	single     findings accepted a second, 64 callers, one each, durable
//	batch      the same in batches of 100
//	end        findings a second from end to end, with a playbook and a webhook,
//	           with a million problems known already
//	latency    500 findings a second for a minute: from the POST to the receipt
//	isolation  1,000 findings a second to fifty endpoints, each its share: how much
//	           later the healthy ones get theirs when half of the others never answer
//	deliver    1,000 findings a second to one endpoint, 250 to each of ten, and
//	           how exactly a limited endpoint is served
//	fifo       changes of 1,000 alerts to an endpoint that wants them in order,
//	           with one that is stuck, with failures and kills
//	outage     100,000 events held for an endpoint that is down, drained, replayed
//	cluster    one, two and three nodes over a real Kafka and PostgreSQL, which it
//	           starts; only if it is asked for
//
// Loader and receiver run on the hub's own cores, so its figures include their
// cost; each is given as a share of what disk and loopback allow. The table
// goes to standard output, the same as JSON to bench-results/, or where
// TOCSIN_REPORTS says. Only loopback
// addresses are used, and every part ends by itself.
//
//	go run ./test/bench --quick
//	go run ./test/bench --only end,latency --seed-dir /var/tmp/seeded
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/report"
)

// A bench is one run.
type bench struct {
	quick  bool
	only   []string
	binary string
	dir    string // of this run, on the disk that is measured
	seeds  int
	seed   string // folder of a seeded data folder to use again, or ""
	rate   float64
	limits limits
	rows   []row
}

// limits are what the machine allows; zero if not measured.
type limits struct {
	fsync   time.Duration // p50 of one append and fsync
	grouped float64       // records of 1 KiB a second, 64 an fsync
	bulk    float64       // records of 1 KiB a second, 800 an fsync
	posts   float64       // POSTs of 1 KiB a second over loopback
}

// parts are in the order in which they run.
var parts = []struct {
	name string
	run  func(context.Context, *bench) error
}{
	{"disk", measureDisk},
	{"http", measureHTTP},
	{"single", measureSingle},
	{"batch", measureBatch},
	{"end", measureEnd},
	{"isolation", measureIsolation},
	{"deliver", measureDeliver},
	{"fifo", measureFIFO},
	{"outage", measureOutage},
	{"cluster", measureCluster},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == idleServer {
		os.Exit(serveIdle())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	b := &bench{}
	asJSON := flag.Bool("json", false, "print the JSON in place of the table")
	only := flag.String("only", "", "parts to run, by comma: disk, http, single, batch, end, latency, isolation, deliver, fifo, outage, cluster")
	flag.BoolVar(&b.quick, "quick", false, "a minute in place of ten, with 20,000 known problems: a smoke test, not a measurement")
	flag.StringVar(&b.binary, "hub-binary", "", "program to measure in place of the one that is built")
	flag.IntVar(&b.seeds, "seed-fingerprints", 0, "problems the hub knows before the end-to-end parts; 1,000,000 if not given")
	flag.StringVar(&b.seed, "seed-dir", "", "folder to keep the seeded data in, and to take it from if it is there")
	flag.Float64Var(&b.rate, "rate", 500, "findings a second in the part latency")
	flag.StringVar(&b.dir, "dir", "", "folder on the disk to measure; the system's folder for temporary files if not given")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is not a flag; see --help", flag.Arg(0))
	}
	if err := b.choose(*only); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.dir, "tocsin-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	machine := report.Describe(dir)
	if b.binary == "" {
		progress("building the program")
		if b.binary, err = rig.Build(ctx, dir); err != nil {
			return err
		}
	}
	start := time.Now()
	for _, p := range parts {
		if !b.wants(p.name) {
			continue
		}
		progress("%s: begins", p.name)
		if err := p.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return write(&machine, b, time.Since(start), *asJSON)
}

// choose fills in what depends on other flags.
func (b *bench) choose(only string) error {
	if only != "" {
		b.only = strings.Split(only, ",")
	}
	for _, name := range b.only {
		if name != "latency" && !slices.ContainsFunc(parts, func(p struct {
			name string
			run  func(context.Context, *bench) error
		},
		) bool {
			return p.name == name
		}) {
			return fmt.Errorf("--only %s is not a part; see --help", name)
		}
	}
	if b.seeds == 0 {
		b.seeds = 1_000_000
		if b.quick {
			b.seeds = 20_000
		}
	}
	return nil
}

// wants reports whether a part is to run. The shares of the others need disk
// and http, which are quick.
func (b *bench) wants(part string) bool {
	switch {
	case part == "disk" || part == "http" || len(b.only) == 0 && part != "cluster":
		return true
	case part == "end" && slices.Contains(b.only, "latency"):
		return true // they share the seeded hub
	}
	return slices.Contains(b.only, part)
}

// lasts is how long a measurement lasts.
func (b *bench) lasts(full, quick time.Duration) time.Duration {
	if b.quick {
		return quick
	}
	return full
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
