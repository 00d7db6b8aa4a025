package app

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
)

// The router says nothing of steps, and only now and then that messages are tried
// again.
func TestTheRouterIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := watermill.NewSlogLogger(quiet(slog.New(slog.NewTextHandler(&out, nil)))).With(watermill.LogFields{"a": "b"})
		log.Info("Starting handler", nil)
		failed := func() {
			for range 1000 {
				log.Error(handlerFailed, errors.New("no disk"), watermill.LogFields{handlerName: "triage"})
			}
		}
		failed()
		log.Error(handlerFailed, errors.New("no cluster"), watermill.LogFields{handlerName: "elastic"})
		log.Error("Subscribe failed", nil, nil)
		time.Sleep(failedEvery)
		failed()
		got := out.String()
		for text, want := range map[string]int{"Starting": 0, "no disk": 2, "no cluster": 1, "Subscribe failed": 1} {
			if n := strings.Count(got, text); n != want {
				t.Errorf("%s is told %d times, want %d:\n%s", text, n, want, got)
			}
		}
	})
}
