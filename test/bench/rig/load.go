package rig

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// A Load posts bodies to one address.
type Load struct {
	URL     string
	Key     string // API key, or ""
	Callers int    // posts under way at a time; 64 if 0
	// Rate is how many posts are begun a second, whether or not earlier ones
	// were answered. 0 begins one when an earlier one was answered.
	Rate float64
	// Posts ends the load after so many; 0 leaves that to Body and the context.
	Posts int
	// Body appends the body of post i; false ends the load.
	Body func(b []byte, i int) ([]byte, bool)
	// Started is told when post i was due to begin; nil is nobody. With a Rate
	// that is by the plan, so that waiting for a free caller counts.
	Started func(i int, at time.Time)
	// Done is told the answer to post i, from many goroutines; nil is nobody. The
	// status is 0 where no answer came. The body is valid during the call.
	Done func(i, status int, body []byte)
	// Timeout is how long an answer may take; 30 s if 0.
	Timeout time.Duration
}

// A Sent is what a load came to.
type Sent struct {
	Posts    int
	Good     int // answered with 2xx
	Refused  int // answered with anything else
	Broken   int // not answered
	Status   int // of the first refusal
	Answer   string
	Duration time.Duration
}

// PerSecond gives the good posts a second.
func (s Sent) PerSecond() float64 { return float64(s.Good) / s.Duration.Seconds() }

// Run posts until Body or ctx ends it and every answer has come.
func (l *Load) Run(ctx context.Context) Sent {
	callers, timeout := l.Callers, l.Timeout
	if callers == 0 {
		callers = 64
	}
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	r := &runningLoad{Load: l, start: time.Now(), client: &fasthttp.Client{
		MaxConnsPerHost: callers, ReadTimeout: timeout, WriteTimeout: timeout, MaxResponseBodySize: 1 << 20,
		// A post is never repeated behind our back: it would count once and come twice.
		MaxIdemponentCallAttempts: 1, RetryIfErr: func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
		NoDefaultUserAgentHeader: true, DisablePathNormalizing: true,
	}}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() { r.caller(ctx) })
	}
	wg.Wait()
	r.client.CloseIdleConnections()
	return Sent{
		Posts: int(r.good.Load() + r.refused.Load() + r.broken.Load()), Good: int(r.good.Load()), Refused: int(r.refused.Load()),
		Broken: int(r.broken.Load()), Status: r.status, Answer: r.answer, Duration: time.Since(r.start),
	}
}

type runningLoad struct {
	*Load
	client                *fasthttp.Client
	start                 time.Time
	next                  atomic.Int64
	good, refused, broken atomic.Int64

	once   sync.Once // writes status and answer
	status int
	answer string
}

// caller makes one post after the other.
func (r *runningLoad) caller(ctx context.Context) {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.SetRequestURI(r.URL)
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetContentType("application/json")
	if r.Key != "" {
		req.Header.Set("Authorization", "Bearer "+r.Key)
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var body []byte
	for ctx.Err() == nil {
		i := int(r.next.Add(1)) - 1
		if r.Posts > 0 && i >= r.Posts {
			return
		}
		at, ok := r.wait(ctx, timer, i)
		if !ok {
			return
		}
		if body, ok = r.Body(body[:0], i); !ok {
			return
		}
		if r.Started != nil {
			r.Started(i, at)
		}
		req.SetBodyRaw(body)
		r.count(i, r.client.Do(req, res), res)
	}
}

// wait waits until post i is due.
func (r *runningLoad) wait(ctx context.Context, timer *time.Timer, i int) (time.Time, bool) {
	if r.Rate <= 0 {
		return time.Now(), true
	}
	due := r.start.Add(time.Duration(float64(i) / r.Rate * float64(time.Second)))
	if d := time.Until(due); d > 0 {
		timer.Reset(d)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return due, false
		}
	}
	return due, true
}

func (r *runningLoad) count(i int, err error, res *fasthttp.Response) {
	status := 0
	var body []byte
	switch {
	case err != nil:
		r.broken.Add(1)
		if !errors.Is(err, fasthttp.ErrConnectionClosed) {
			r.once.Do(func() { r.answer = err.Error() })
		}
	default:
		status, body = res.StatusCode(), res.Body()
		if status/100 == 2 {
			r.good.Add(1)
			break
		}
		r.refused.Add(1)
		r.once.Do(func() { r.status, r.answer = status, string(body) })
	}
	if r.Done != nil {
		r.Done(i, status, body)
	}
}
