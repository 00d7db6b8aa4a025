package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/sim/cloudoptix"
	"github.com/tocsin/tocsin/test/sim/cybervault"
	"github.com/tocsin/tocsin/test/sim/echelongraph"
	"github.com/tocsin/tocsin/test/sim/edgetelemetry"
	"github.com/tocsin/tocsin/test/sim/elastic"
	"github.com/tocsin/tocsin/test/sim/pagerduty"
	"github.com/tocsin/tocsin/test/sim/receiver"
	"github.com/tocsin/tocsin/test/sim/slack"
	"github.com/tocsin/tocsin/test/sim/unkind"
	"github.com/tocsin/tocsin/test/sim/vigilare"
)

// soarPath is where the receiver takes the hub's webhooks.
const soarPath = "/soar"

// moderate is the trouble that all make but CyberVault and the receiver: about one request in
// twelve fails, half of the failures after the request took effect. They do not
// throttle: their Retry-After is for all that goes to them, while the relay
// keeps it for the delivery that was told.
var moderate = unkind.Knobs{Fail: 0.05, Cut: 0.03, Slow: 0.05, SlowMS: 50}

// rough is the trouble that the webhook receiver makes.
var rough = receiver.Behaviour{Fail: 0.04, Throttle: 0.01, CutBefore: 0.01, CutAfter: 0.02}

// farSides are the simulators, each served on a port of its own.
type farSides struct {
	vault    *cybervault.Sim
	echelon  *echelongraph.Sim
	edge     *edgetelemetry.Sim
	vigilare *vigilare.Sim
	optix    *cloudoptix.Sim

	slack *slack.Sim
	pager *pagerduty.Sim
	soar  *receiver.Sim
	siem  *elastic.Sim

	secret  string // of the webhooks that the hub sends
	inbound string // of those that CyberVault sends

	urls    map[string]string
	servers []*http.Server
	running sync.WaitGroup
	client  *http.Client // sends CyberVault's webhooks
}

func openFarSides() (*farSides, error) {
	f := &farSides{
		secret: newSecret(), inbound: newToken("cv_whsec_"), urls: map[string]string{},
		client: &http.Client{Timeout: 10 * time.Second, Transport: new(http.Transport)},
	}
	o := unkind.Options{Seed: seed}
	f.vault = cybervault.New(cybervault.Options{Options: o, Tier: "enterprise"})
	// Those that are written to do not throttle on purpose; their rules stay.
	f.echelon = echelongraph.New(echelongraph.Options{Options: o, Plan: "enterprise"})
	f.echelon.Set(moderate)
	f.edge = edgetelemetry.New(edgetelemetry.Options{Options: o, PerMinute: 10_000})
	f.edge.Set(moderate)
	f.vigilare = vigilare.New(vigilare.Options{Options: o, PerMinute: 10_000})
	f.vigilare.Set(moderate)
	f.optix = cloudoptix.New(cloudoptix.Options{Options: o, PerMinute: 10_000})
	f.optix.Set(moderate)
	// The real Slack takes a message a second and the real PagerDuty two events;
	// a demo that should end soon cannot wait for them.
	f.slack = slack.New(slack.Options{Options: o, Limits: slack.Limits{PerSecond: 100, Burst: 100, UpdatesPerMinute: 6000}})
	f.slack.Set(moderate)
	f.pager = pagerduty.New(pagerduty.Options{Options: o, PerMinute: 100_000})
	f.pager.Set(moderate)
	f.siem = elastic.New(elastic.Options{Seed: seed})
	f.soar = receiver.New(receiver.Options{Options: o, Endpoints: []receiver.Endpoint{
		{Path: soarPath, Secrets: []string{f.secret}, Hex: "X-CV-Signature", Behaviour: rough},
	}})
	for name, h := range map[string]http.Handler{
		"CYBERVAULT": f.vault, "ECHELONGRAPH": f.echelon, "EDGETELEMETRY": f.edge, "VIGILARE": f.vigilare, "CLOUDOPTIX": f.optix,
		"SLACK": f.slack, "PAGERDUTY": f.pager, "ELASTIC": f.siem, "RECEIVER": f.soar,
	} {
		if err := f.serve(name, h); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

func (f *farSides) serve(name string, h http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("open a port for a simulator: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	f.urls[name] = "http://" + l.Addr().String()
	f.servers = append(f.servers, s)
	f.running.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // a listener of ours that nobody else closes
		}
	})
	return nil
}

// environ is what the configuration refers to.
func (f *farSides) environ() []string {
	env := []string{
		"SLACK_BOT_TOKEN=" + slack.DefaultToken,
		"PAGERDUTY_ROUTING_KEY=" + pagerduty.DefaultRoutingKey,
		"SOAR_WEBHOOK_SECRET=" + f.secret,
		"CYBERVAULT_TOKEN=" + cybervault.DefaultToken,
		"CYBERVAULT_WEBHOOK_SECRET=" + f.inbound,
		"ECHELONGRAPH_EMAIL=" + echelongraph.DefaultEmail, "ECHELONGRAPH_PASSWORD=" + echelongraph.DefaultPassword,
		"EDGETELEMETRY_EMAIL=" + edgetelemetry.DefaultEmail, "EDGETELEMETRY_PASSWORD=" + edgetelemetry.DefaultPassword,
		"VIGILARE_EMAIL=" + vigilare.DefaultEmail, "VIGILARE_PASSWORD=" + vigilare.DefaultPassword,
		"CLOUDOPTIX_API_KEY=" + cloudoptix.DefaultKey,
	}
	for name, url := range f.urls {
		env = append(env, "DEMO_"+name+"="+url)
	}
	return env
}

// subscribe makes CyberVault send its webhooks to the hub.
func (f *farSides) subscribe(hub string) {
	f.vault.Subscribe(cybervault.Subscription{URL: hub + "/api/v1/ingest/cybervault", Secret: f.inbound})
}

func (f *farSides) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, s := range f.servers {
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
	}
	f.running.Wait()
	f.client.CloseIdleConnections()
}
