package unkind

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// A Voice is how a far side words the answers that the document leaves to
// trouble: too many requests, and its own failure.
type Voice struct {
	Throttled func(w http.ResponseWriter, seconds int)
	Failed    func(w http.ResponseWriter, status int)
	// Limit names whose limit a request counts against, for Retry-After. A
	// simulator that learns it from the body only leaves it nil and throttles
	// on purpose by itself, asking [Side.Throttles].
	Limit func(r *http.Request) string
}

// Wrap makes trouble around next, which answers by the document.
func (s *Side) Wrap(v Voice, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if Steering(r) {
			next.ServeHTTP(w, r)
			return
		}
		k := s.Knobs()
		if s.Chance(k.Slow) && k.SlowMS > 0 {
			s.delay(r, time.Duration(1+s.IntN(k.SlowMS))*time.Millisecond)
		}
		a := &answer{header: http.Header{}}
		trouble := s.trouble(v, k, a, r, next)
		s.record(Exchange{At: s.now(), Request: r.Method + " " + r.URL.RequestURI(), Status: a.status, Trouble: trouble})
		a.send(w, trouble, s)
	})
}

// Throttles draws whether a request is throttled on purpose, and for how many
// seconds; 0 if it is not.
func (s *Side) Throttles() int {
	if !s.Chance(s.Knobs().Throttle) {
		return 0
	}
	return 1 + s.IntN(3)
}

func (s *Side) delay(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

// trouble answers into a, and says what it did on purpose.
func (s *Side) trouble(v Voice, k Knobs, a *answer, r *http.Request, next http.Handler) string {
	switch {
	case v.Limit != nil && s.Chance(k.Throttle):
		limit := v.Limit(r)
		wait := 1 + s.IntN(3)
		if left := s.Early(r, limit); left > 0 {
			wait = int(left/time.Second) + 1
		}
		v.Throttled(a, wait)
		s.Told(limit, time.Duration(wait)*time.Second)
		return "throttled"
	case s.Chance(k.Fail):
		status := []int{500, 502, 503}[s.IntN(3)]
		if s.Chance(0.5) {
			next.ServeHTTP(a, r)
			*a = answer{header: http.Header{}}
			v.Failed(a, status)
			return "failed after it took effect"
		}
		v.Failed(a, status)
		return "failed"
	case s.Chance(k.Cut):
		if s.Chance(0.3) {
			return "cut before it took effect"
		}
		next.ServeHTTP(a, r)
		if s.Chance(0.5) {
			return "cut within the answer"
		}
		return "cut before the answer"
	}
	next.ServeHTTP(a, r)
	return ""
}

// An answer is held back until it is clear what becomes of it.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(200)
	return a.body.Write(p)
}

func (a *answer) send(w http.ResponseWriter, trouble string, s *Side) {
	switch trouble {
	case "cut before it took effect", "cut before the answer":
		panic(http.ErrAbortHandler)
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.status == 0 {
		a.status = 200
	}
	body := a.body.Bytes()
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if trouble != "cut within the answer" {
		w.Write(body)
		return
	}
	w.Write(body[:s.IntN(len(body)+1)/2])
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
