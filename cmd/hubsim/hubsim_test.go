package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestServe serves every simulator on a free port, asks each for its
// violations, and ends.
func TestServe(t *testing.T) {
	c := cli{Listen: map[string]string{}, Kind: true, JSON: true}
	for _, s := range simulators() {
		c.Listen[s.Name] = "127.0.0.1:0"
	}
	chosen, err := choose(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, write, chosen, c) }()

	var served map[string]simulator
	if err := json.NewDecoder(read).Decode(&served); err != nil {
		t.Fatalf("addresses: %v", err)
	}
	if len(served) != len(simulators()) {
		t.Errorf("%d served, want %d", len(served), len(simulators()))
	}
	client := &http.Client{Timeout: 5 * time.Second}
	for name, s := range served {
		res, err := client.Get(s.URL + "/_sim/violations")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK && name != "elasticsearch" {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
	client.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestPortTaken(t *testing.T) {
	c := cli{Names: []string{"slack"}, Listen: map[string]string{"slack": "256.0.0.1:1"}}
	chosen, err := choose(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := serve(t.Context(), io.Discard, chosen, c); err == nil || !strings.Contains(err.Error(), "slack") {
		t.Errorf("error %v, want one that names slack", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--listen", "fax=:1"}, {"fax"}, {"--kind", "--unkind"}, {"--nonsense"}} {
		if got := run(args); got != 2 {
			t.Errorf("hubsim %v ends with %d, want 2", args, got)
		}
	}
	if got := run([]string{"--list"}); got != 0 {
		t.Errorf("hubsim --list ends with %d, want 0", got)
	}
}
