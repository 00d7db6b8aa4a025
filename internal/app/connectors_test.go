package app

import (
	"testing"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// Paused here and resumed at another node a moment later, a connector looks to the
// next look as it did to the last. It has to go on all the same.
func TestPauseAndResumeBetweenTwoLooks(t *testing.T) {
	r := start(t, load(t, t.TempDir(), "connectors: [{name: vault, kind: cybervault, base_url: 'http://127.0.0.1:9/v2', token: x}]\n"), withKey)
	look := func() connectors.Phase {
		if err := r.sources.follow(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := r.fleet.State(hub.DefaultTenant, "vault")
		if err != nil {
			t.Fatal(err)
		}
		return s.Phase
	}
	look()
	call[any](r, "POST", "/api/v1/connectors/vault/pause", "", 200)
	if p := look(); p != connectors.PhasePaused {
		t.Errorf("paused over the API it is %s", p)
	}
	call[any](r, "POST", "/api/v1/connectors/vault/resume", "", 200)
	if err := r.fleet.Pause(hub.DefaultTenant, "vault"); err != nil { // as if the other node had been the one asked to resume
		t.Fatal(err)
	}
	if p := look(); p == connectors.PhasePaused {
		t.Error("it stays paused")
	}
}
