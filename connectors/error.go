package connectors

import (
	"errors"
	"time"

	"github.com/tocsin/tocsin/hub"
)

func retryAfterOf(err error) time.Duration {
	var e *hub.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// messageOf is what people are shown of err: its cause stays in the log.
func messageOf(err error) string {
	var e *hub.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return "internal error; the log has more"
}

// outcomeOf is err as a metric's label.
func outcomeOf(err error) string {
	if err == nil {
		return "ok"
	}
	return string(hub.KindOf(err))
}
