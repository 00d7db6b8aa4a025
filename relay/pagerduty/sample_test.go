package pagerduty_test

import (
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/pagerduty"
	"github.com/tocsin/tocsin/relay/relaytest"
)

func TestSample(t *testing.T) { relaytest.Sample(t, pagerduty.Sample(), hub.KindPagerDuty) }
