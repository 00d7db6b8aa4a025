package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

const (
	webhookTimeout = 15 * time.Second // of the webhooks that simulators send
	stopTimeout    = 2 * time.Second  // for requests that are being answered
)

// serve opens every port before it prints anything, and serves until ctx ends.
func serve(ctx context.Context, out io.Writer, chosen []simulator, c cli) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ports := make([]net.Listener, 0, len(chosen))
	defer func() {
		for _, l := range ports {
			l.Close()
		}
	}()
	for i := range chosen {
		l, err := net.Listen("tcp", chosen[i].Address)
		if err != nil {
			return fmt.Errorf("%s: %w", chosen[i].Name, err)
		}
		ports = append(ports, l)
		chosen[i].Address = l.Addr().String()
		chosen[i].URL = "http://" + chosen[i].Address
	}
	list(out, chosen, c.JSON)
	return serveAll(ctx, cancel, ports, chosen, unkind.Options{Seed: c.Seed, Kind: c.Kind})
}

// serveAll returns when everything it started has ended.
func serveAll(ctx context.Context, cancel func(), ports []net.Listener, chosen []simulator, o unkind.Options) error {
	var running sync.WaitGroup
	faults := make([]error, len(ports))
	for i, l := range ports {
		handler, beside := chosen[i].start(o)
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		running.Go(func() {
			defer cancel() // one that fails ends all
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				faults[i] = fmt.Errorf("%s: %w", chosen[i].Name, err)
			}
		})
		running.Go(func() { <-ctx.Done(); stop(server) })
		if beside != nil {
			running.Go(func() { beside(ctx) })
		}
	}
	running.Wait()
	return errors.Join(faults...)
}

func stop(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}

// list prints the simulators for people, or for programs by name.
func list(out io.Writer, chosen []simulator, asJSON bool) {
	if asJSON {
		byName := map[string]simulator{}
		for _, s := range chosen {
			byName[s.Name] = s
		}
		b, err := json.Marshal(byName)
		if err != nil {
			panic(err) // strings only
		}
		fmt.Fprintf(out, "%s\n", b)
		return
	}
	for _, s := range chosen {
		where := s.URL
		if where == "" {
			where = s.Address
		}
		fmt.Fprintf(out, "%-14s %-24s %s\n", s.Name, where+s.Base, s.Doc)
	}
}
