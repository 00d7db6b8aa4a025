package app

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quiet leaves the router's own messages out below a warning: they tell of steps,
// not of changes of state. That a handler failed, which the router tells of each
// message that is tried again, is told now and then: while a far side is down it
// would be thousands of lines.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(quietHandler{log.Handler(), &seldom{told: map[string]time.Time{}, now: time.Now}})
}

const (
	// handlerFailed is the router's message of it, and handlerName what tells which.
	handlerFailed = "Handler returned error"
	handlerName   = "handler_name"
	// failedEvery is how often it is told of one handler.
	failedEvery = 30 * time.Second
)

type quietHandler struct {
	slog.Handler
	seldom *seldom
}

// Enabled leaves out what is less than a warning.
func (h quietHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// Handle leaves out that a handler failed, but for now and then.
func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == handlerFailed && !h.seldom.tell(r) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs goes on leaving out.
func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(attrs), h.seldom}
}

// WithGroup goes on leaving out.
func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name), h.seldom}
}

// A seldom remembers what was told of each handler.
type seldom struct {
	now func() time.Time

	mu   sync.Mutex // guards told
	told map[string]time.Time
}

func (s *seldom) tell(r slog.Record) bool {
	name := ""
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == handlerName {
			name = a.Value.String()
		}
		return name == ""
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if last, there := s.told[name]; there && now.Sub(last) < failedEvery {
		return false
	}
	s.told[name] = now
	return true
}
