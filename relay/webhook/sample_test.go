package webhook_test

import (
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/relaytest"
	"github.com/tocsin/tocsin/relay/webhook"
)

func TestSample(t *testing.T) { relaytest.Sample(t, webhook.Sample(), hub.KindWebhook) }
