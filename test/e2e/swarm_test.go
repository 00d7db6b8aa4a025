package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// seriesLength is how many findings are about one problem, and so in one alert.
const seriesLength = 5

// A swarm is many senders that put a finding to any node until one has taken it,
// under one Idempotency-Key, so that it counts once however often it was put.
type swarm struct {
	run    string
	nodes  []*rig.Hub
	rate   int // findings a second; 0 is as many as are taken
	client *http.Client
	news   func() // called when a finding was taken

	mu      sync.Mutex // guards what follows
	next    int
	taken   map[int]taken
	refused map[string]int // answers that a sound hub does not give
	tries   int
	over    bool
	until   int // with over: goes on to this number at least
}

// A taken finding was answered with 2xx.
type taken struct {
	id       string
	sent, at time.Time // when it was put first, and answered
}

func newSwarm(run string, nodes []*rig.Hub, rate int) *swarm {
	return &swarm{
		run: run, nodes: nodes, rate: rate, taken: map[int]taken{}, refused: map[string]int{},
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
}

// series is what finding i is about. The findings of a problem lie some apart, so
// that they are under way at the same time, at different nodes.
func series(i int) int { return i/(8*seriesLength)*8 + i%8 }

// place is which of its problem's findings i is.
func place(i int) int { return i / 8 % seriesLength }

func (s *swarm) body(i int) []byte {
	asset := fmt.Sprintf("rig-%s-%d", s.run, series(i))
	return fmt.Appendf(nil, `{"type":"malware","asset_id":%q,"severity":%q,"source":"swarm","source_id":%q,"title":"Malware on a host",`+
		`"observed_at":%q,"labels":{"team":"web"},"payload":{"finding":%d}}`,
		asset, []string{"low", "medium", "high"}[place(i)%3], asset, time.Date(2026, 11, 22, 10, 0, place(i), 0, time.UTC).Format(time.RFC3339), i)
}

// run sends until finish, and returns when everything was taken.
func (s *swarm) send(ctx context.Context) {
	var all sync.WaitGroup
	begun := time.Now()
	for range 64 {
		all.Go(func() {
			for ctx.Err() == nil {
				i, ok := s.pick()
				if !ok {
					return
				}
				if s.rate > 0 {
					_ = rest(ctx, time.Until(begun.Add(time.Duration(i)*time.Second/time.Duration(s.rate))))
				}
				s.put(ctx, i)
			}
		})
	}
	all.Wait()
}

// pick gives the next finding. The last problem is sent whole.
func (s *swarm) pick() (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over && s.next >= s.until && s.next%(8*seriesLength) == 0 {
		return 0, false
	}
	s.next++
	return s.next - 1, true
}

func (s *swarm) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// put sends finding i to one node after the other until it is taken.
func (s *swarm) put(ctx context.Context, i int) {
	sent, body := time.Now(), s.body(i)
	for wait := 10 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, time.Second) {
		status, answer := s.post(ctx, s.nodes[rand.IntN(len(s.nodes))], i, body)
		if s.judge(i, sent, status, answer) {
			return
		}
		_ = rest(ctx, wait)
	}
}

func (s *swarm) post(ctx context.Context, h *rig.Hub, i int, body []byte) (int, []byte) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL("/api/v1/findings"), bytes.NewReader(body))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+rig.Key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", s.run+"-"+strconv.Itoa(i))
	res, err := s.client.Do(req)
	if err != nil {
		return 0, nil // killed, or paused
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, answer
}

func (s *swarm) judge(i int, sent time.Time, status int, answer []byte) bool {
	s.mu.Lock()
	s.tries++
	switch {
	case status/100 == 2:
		s.taken[i] = taken{findingID(answer), sent, time.Now()}
	case status != 0 && status != http.StatusServiceUnavailable:
		s.refused[fmt.Sprintf("%d %.200s", status, answer)]++
	}
	s.mu.Unlock()
	if status/100 == 2 && s.news != nil {
		s.news()
	}
	return status/100 == 2
}

// check gives the findings that were taken, which are all that were sent; a hub
// may refuse some for a while, but only with 503.
func (s *swarm) check(t *testing.T) map[int]taken {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for answer, n := range s.refused {
		t.Errorf("%d times a good finding was answered %s", n, answer)
	}
	if len(s.taken) != s.next {
		t.Errorf("of %d findings %d were taken", s.next, len(s.taken))
	}
	return s.taken
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exactly sends so many findings, or some more so that the last problem is whole,
// and gives them when all were taken.
func (s *swarm) exactly(t *testing.T, n int) map[int]taken {
	t.Helper()
	s.mu.Lock()
	s.over, s.until = true, s.next+n
	s.mu.Unlock()
	s.send(t.Context())
	return s.check(t)
}

// more sends so many more and gives what they are about.
func (s *swarm) more(t *testing.T, n int) map[int]bool {
	t.Helper()
	from := s.next
	s.exactly(t, n)
	about := map[int]bool{}
	for i := from; i < s.next; i++ {
		about[series(i)] = true
	}
	return about
}
