package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
)

func TestVerdict(t *testing.T) {
	for kind, want := range map[hub.Kind]bus.Decision{
		hub.Transient: bus.Retry, hub.RateLimited: bus.Retry, hub.Internal: bus.Limit,
		hub.Malformed: bus.Dead, hub.Invalid: bus.Dead, hub.NotFound: bus.Dead, hub.Conflict: bus.Dead, hub.TooLarge: bus.Dead,
		hub.Forbidden: bus.Dead, hub.Unauthorized: bus.Dead, hub.Gone: bus.Dead, hub.Unsupported: bus.Dead, hub.Precondition: bus.Dead,
	} {
		err := fmt.Errorf("while handling: %w", hub.E(kind, "no"))
		if got := bus.Verdict(err); got != want {
			t.Errorf("%s gives %s, want %s", kind, got, want)
		}
	}
	if got := bus.Verdict(nil); got != bus.Ack {
		t.Errorf("no error gives %s", got)
	}
	if got := bus.Verdict(errors.New("anything")); got != bus.Limit {
		t.Errorf("an error without a kind gives %s", got)
	}
}

type recorder struct{ err error }

func (r *recorder) Failed(err error) { r.err = err }

func TestReportTellsWhyAHandlerFailed(t *testing.T) {
	refused := hub.E(hub.Invalid, "refused")
	for name, c := range map[string]struct {
		h    message.HandlerFunc
		kind hub.Kind
	}{
		"error": {func(*message.Message) ([]*message.Message, error) { return nil, refused }, hub.Invalid},
		"panic": {func(*message.Message) ([]*message.Message, error) { panic("oh") }, hub.Internal},
		"done":  {func(*message.Message) ([]*message.Message, error) { return nil, nil }, ""},
	} {
		var r recorder
		m := bus.NewMessage("id", "default", "key", nil)
		m.SetContext(context.WithValue(t.Context(), bus.DeliveryKey{}, bus.Delivery(&r)))
		_, err := bus.Report(c.h)(m)
		if hub.KindOf(r.err) != c.kind || hub.KindOf(err) != c.kind {
			t.Errorf("%s: reported %v and returned %v, want kind %q", name, r.err, err, c.kind)
		}
	}
}
