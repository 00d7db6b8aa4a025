// Hubsim serves the simulated far sides of Tocsin, each on a loopback port of
// its own: source systems, and the receivers that the hub delivers to.
//
// They behave as the real systems' documents say, make trouble on purpose
// unless told to be kind, and judge what they are sent. Each is steered and
// questioned below /_sim/ on its own port; the package comments under test/sim
// list how.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

const description = `Serves the simulated systems that Tocsin talks to.

Example:
  hubsim --seed 7 --listen cybervault=127.0.0.1:9101 cybervault slack
  curl -X POST -d '{"count": 25}' http://127.0.0.1:9101/_sim/alerts
  curl http://127.0.0.1:9101/_sim/violations`

// A cli is the command line.
type cli struct {
	Names  []string          `arg:"" optional:"" help:"Which to serve; all if none is named. See --list."`
	Listen map[string]string `placeholder:"NAME=ADDR" help:"Address of one simulator, such as slack=127.0.0.1:0; may be repeated."`
	Seed   uint64            `help:"Seed of the trouble: the same seed makes the same trouble for the same requests."`
	Kind   bool              `xor:"mood" help:"Make no trouble on purpose; rules and limits stay."`
	Unkind bool              `xor:"mood" help:"Throttle, fail, cut, delay, repeat and reorder at random (the default)."`
	List   bool              `help:"List the simulators with their addresses, and end."`
	JSON   bool              `name:"json" help:"Print the addresses as one JSON object."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run gives the exit status: 0 fine, 1 failure, 2 bad usage.
func run(args []string) int {
	var c cli
	parser := kong.Must(&c, kong.Name("hubsim"), kong.Description(description), kong.UsageOnError())
	if _, err := parser.Parse(args); err != nil {
		fmt.Fprintf(os.Stderr, "hubsim: %v; see hubsim --help\n", err)
		return 2
	}
	chosen, err := choose(c)
	if err != nil {
		fmt.Fprintf(os.Stderr, "hubsim: %v; see hubsim --list\n", err)
		return 2
	}
	if c.List {
		list(os.Stdout, chosen, c.JSON)
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Stdout, chosen, c); err != nil {
		fmt.Fprintf(os.Stderr, "hubsim: %v; choose another address with --listen\n", err)
		return 1
	}
	return 0
}
