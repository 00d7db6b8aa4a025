package slack_test

import (
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/slack"
	"github.com/tocsin/tocsin/relay/relaytest"
)

func TestSample(t *testing.T) { relaytest.Sample(t, slack.Sample(), hub.KindSlack) }
