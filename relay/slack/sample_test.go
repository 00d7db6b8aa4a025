package slack_test

import (
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/relaytest"
	"github.com/tocsin/tocsin/relay/slack"
)

func TestSample(t *testing.T) { relaytest.Sample(t, slack.Sample(), hub.KindSlack) }
