package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

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

// A simulator is one far side that can be served.
type simulator struct {
	Name    string            `json:"name"`
	Doc     string            `json:"doc"`
	Address string            `json:"address"`
	URL     string            `json:"url,omitempty"`  // once it is served
	Base    string            `json:"base,omitempty"` // path below which the API lies
	Use     map[string]string `json:"use,omitempty"`  // credentials that it takes

	// start makes the handler, and what runs beside it until ctx ends; nil for
	// nothing.
	start func(unkind.Options) (http.Handler, func(ctx context.Context))
}

// simulators is the list; a new one is a line here.
func simulators() []simulator {
	return []simulator{
		{
			Name: "cybervault", Doc: "CyberVault Monitoring API v2, with webhooks", Address: "127.0.0.1:9101", Base: "/v2",
			Use: map[string]string{"token": cybervault.DefaultToken}, start: startCyberVault,
		},
		{
			Name: "echelongraph", Doc: "EchelonGraph API with MFA, events over a WebSocket, and webhooks", Address: "127.0.0.1:9102", Base: "/v1",
			Use:   map[string]string{"email": echelongraph.DefaultEmail, "password": echelongraph.DefaultPassword, "totp_secret": echelongraph.DefaultSecret},
			start: startEchelonGraph,
		},
		{
			Name: "vigilare", Doc: "Vigilare REST API", Address: "127.0.0.1:9103",
			Use: map[string]string{"email": vigilare.DefaultEmail, "password": vigilare.DefaultPassword},
			start: func(o unkind.Options) (http.Handler, func(context.Context)) {
				return vigilare.New(vigilare.Options{Options: o}), nil
			},
		},
		{
			Name: "edgetelemetry", Doc: "EdgeAI Telemetry REST API with MFA", Address: "127.0.0.1:9104", Base: "/api/v1",
			Use: map[string]string{"email": edgetelemetry.DefaultEmail, "password": edgetelemetry.DefaultPassword, "totp_secret": edgetelemetry.DefaultSecret},
			start: func(o unkind.Options) (http.Handler, func(context.Context)) {
				return edgetelemetry.New(edgetelemetry.Options{Options: o, MFA: true}), nil
			},
		},
		{
			Name: "cloudoptix", Doc: "Sophos Cloud Optix REST API", Address: "127.0.0.1:9105", Base: "/api/v1",
			Use: map[string]string{"api_key": cloudoptix.DefaultKey},
			start: func(o unkind.Options) (http.Handler, func(context.Context)) {
				return cloudoptix.New(cloudoptix.Options{Options: o}), nil
			},
		},
		{
			Name: "slack", Doc: "Slack: chat.postMessage, chat.update, auth.test, an incoming webhook", Address: "127.0.0.1:9111", Base: "/api/",
			Use: map[string]string{"bot_token": slack.DefaultToken, "webhook": slack.DefaultWebhookPath},
			start: func(o unkind.Options) (http.Handler, func(context.Context)) {
				return slack.New(slack.Options{Options: o}), nil
			},
		},
		{
			Name: "pagerduty", Doc: "PagerDuty Events API v2, with v3 webhooks", Address: "127.0.0.1:9112", Base: "/v2/enqueue",
			Use: map[string]string{"routing_key": pagerduty.DefaultRoutingKey},
			start: func(o unkind.Options) (http.Handler, func(context.Context)) {
				return pagerduty.New(pagerduty.Options{Options: o}), nil
			},
		},
		{
			Name: "elasticsearch", Doc: "Elasticsearch: _bulk, templates, search", Address: "127.0.0.1:9113",
			start: func(o unkind.Options) (http.Handler, func(context.Context)) {
				return elastic.New(elastic.Options{Seed: o.Seed, Kind: o.Kind}), nil
			},
		},
		{
			Name: "receiver", Doc: "a receiver of signed webhooks at any path", Address: "127.0.0.1:9114",
			start: func(o unkind.Options) (http.Handler, func(context.Context)) {
				return receiver.New(receiver.Options{Options: o}), nil
			},
		},
	}
}

func startCyberVault(o unkind.Options) (http.Handler, func(context.Context)) {
	s := cybervault.New(cybervault.Options{Options: o})
	client := &http.Client{Timeout: webhookTimeout}
	return s, func(ctx context.Context) {
		defer client.CloseIdleConnections()
		s.Run(ctx, client)
	}
}

func startEchelonGraph(o unkind.Options) (http.Handler, func(context.Context)) {
	s := echelongraph.New(echelongraph.Options{Options: o, MFA: true})
	client := &http.Client{Timeout: webhookTimeout}
	return s, func(ctx context.Context) {
		defer client.CloseIdleConnections()
		s.Run(ctx, client)
	}
}

// choose picks the simulators that the command line names, with their
// addresses.
func choose(c cli) ([]simulator, error) {
	all := simulators()
	for name := range c.Listen {
		if !slices.ContainsFunc(all, func(s simulator) bool { return s.Name == name }) {
			return nil, fmt.Errorf("--listen names %q, which is no simulator", name)
		}
	}
	var chosen []simulator
	for _, s := range all {
		if len(c.Names) > 0 && !slices.Contains(c.Names, s.Name) {
			continue
		}
		if a := c.Listen[s.Name]; a != "" {
			s.Address = a
		}
		chosen = append(chosen, s)
	}
	for _, name := range c.Names {
		if !slices.ContainsFunc(all, func(s simulator) bool { return s.Name == name }) {
			return nil, fmt.Errorf("%q is no simulator; there are %s", name, names(all))
		}
	}
	return chosen, nil
}

func names(all []simulator) string {
	var out []string
	for _, s := range all {
		out = append(out, s.Name)
	}
	return strings.Join(out, ", ")
}
