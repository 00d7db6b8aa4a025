package webhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
	"github.com/tocsin/tocsin/relay/webhook"
	"github.com/tocsin/tocsin/test/report"
)

// Whatever status asks to wait, in seconds or by a date: that is the least wait, up
// to the ceiling; what is past or says nothing leaves it to the schedule.
func TestRetryAfterOfEveryStatus(t *testing.T) {
	rep := report.Of(t, 3)
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tried := 0
	for _, status := range []int{429, 500, 502, 503, 504} {
		for _, tt := range []struct {
			value string
			want  time.Duration
		}{
			{"", 0},
			{"0", 0},
			{"90", 90 * time.Second},
			{"3600", time.Hour},
			{"86400", 24 * time.Hour},
			{"90000", relay.MaxRetryAfter},
			{"99999999999999999999", relay.MaxRetryAfter},
			{in(time.Hour), time.Hour},
			{in(time.Hour)[:26] + "EST", 0}, // no date of HTTP
			{in(48 * time.Hour), relay.MaxRetryAfter},
			{in(-time.Hour), 0},
			{"-90", 0},
			{"soon", 0},
			{"1.5", 0},
			{"90 seconds", 0},
		} {
			tried++
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tt.value)
				w.WriteHeader(status)
			}))
			_, err := webhook.New(webhook.Options{Client: client()}).Send(t.Context(), endpoint(srv.URL), delivery())
			srv.Close()
			var e *hub.Error
			if !errors.As(err, &e) || e.Kind != hub.Transient && e.Kind != hub.RateLimited {
				t.Errorf("%d with %q gives %v, want to be tried again", status, tt.value, err)
				continue
			}
			// A date has no parts of a second, and time goes on.
			if off := tt.want - e.RetryAfter; off < 0 || off > time.Minute || off > 0 && tt.want != time.Hour {
				t.Errorf("%d with %q: wait at least %v, want %v", status, tt.value, e.RetryAfter, tt.want)
			}
		}
	}
	rep.Figure("answers_tried", tried)
	rep.Figure("ceiling", fmt.Sprint(relay.MaxRetryAfter))
}
