// Command services runs real servers for development: Kafka, PostgreSQL and
// Elasticsearch, fresh and empty, on free ports, until it is interrupted.
//
//	services kafka postgres                  prints their addresses as JSON and waits
//	services kafka postgres -- PROGRAM ...   runs a program that finds them in KAFKA_BROKERS,
//	                                         POSTGRES_DSN and ELASTICSEARCH_URL, and ends with it
//	services -fetch                          only fetches what they need
//	services -sums                           writes what SHA256SUMS must be for the pom.xml
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"github.com/tocsin/tocsin/test/services"
)

func main() {
	fetch := flag.Bool("fetch", false, "only fetch what the servers need")
	mark := flag.String("mark", "", "with -fetch: a `file` to make when all is there")
	sums := flag.Bool("sums", false, "fetch anew and write the content of SHA256SUMS")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *sums:
		err = services.WriteSums(ctx, os.Stdout)
	case *fetch:
		err = fetchAll(ctx, *mark)
	default:
		err = run(ctx, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

func fetchAll(ctx context.Context, mark string) error {
	note, err := services.Fetch(ctx)
	if err != nil {
		return err
	}
	if note != "" {
		fmt.Fprintln(os.Stderr, "NOTE:", note)
		return nil
	}
	if mark == "" {
		return nil
	}
	return os.WriteFile(mark, nil, 0o644)
}

// run runs the servers named before "--", for as long as the program after it
// runs, or until we are interrupted.
func run(ctx context.Context, args []string) error {
	names, program := args, []string(nil)
	if i := slices.Index(args, "--"); i >= 0 {
		names, program = args[:i], args[i+1:]
	}
	if len(names) == 0 {
		return errors.New("name the servers to start: kafka, postgres, elasticsearch")
	}
	err := services.Run(ctx, names, func(a services.Addresses) error {
		if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
			return err
		}
		if len(program) > 0 {
			return accompany(ctx, program, a.Env())
		}
		<-ctx.Done()
		return nil
	})
	if errors.Is(err, context.Canceled) {
		return nil // before all of them had started
	}
	return err
}

// accompany runs a program. An interrupt reaches it too, and it is given the
// time to end in good order before the servers go.
func accompany(ctx context.Context, program, env []string) error {
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil
	}
	return err
}
