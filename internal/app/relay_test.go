package app

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// A far is a receiver that answers as it is told and notes what came.
type far struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(n int, e *hub.Event) int // status; nil: 204
	got    []*hub.Event                  // those answered with 2xx, in order
	all    int                           // requests
	change chan struct{}                 // a value after each request
}

func newFar(t *testing.T, answer func(n int, e *hub.Event) int) *far {
	f := &far{answer: answer, change: make(chan struct{}, 100_000)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e := new(hub.Event)
		if err := json.Unmarshal(body, e); err != nil {
			t.Error(err)
		}
		w.WriteHeader(f.take(e))
		f.change <- struct{}{}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *far) take(e *hub.Event) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all++
	status := 204
	if f.answer != nil {
		status = f.answer(f.all, e)
	}
	if status < 300 {
		f.got = append(f.got, e)
	}
	return status
}

// say changes how it answers.
func (f *far) say(answer func(n int, e *hub.Event) int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func always(status int) func(int, *hub.Event) int { return func(int, *hub.Event) int { return status } }

// taken gives the subjects it took, in order.
func (f *far) taken() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.got {
		out = append(out, e.Subject)
	}
	return out
}

// eventually waits until ok, looking again after each request and now and then.
func (f *far) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-f.change:
		case <-look.C:
		case <-end:
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

const quick = "relay: {schedule: [100ms, 100ms], breaker: 3, probe_after: 100ms, probe_max: 200ms, jitter: 0}\n"

// findings sends n findings about assets of their own.
func (r *running) findings(prefix string, n int) {
	r.t.Helper()
	for from := 0; from < n; from += 500 {
		var b strings.Builder
		for i := from; i < min(from+500, n); i++ {
			fmt.Fprintf(&b, "{\"type\":\"xss\",\"asset_id\":\"%s-%05d\",\"severity\":\"high\"}\n", prefix, i)
		}
		if status, answer := r.do("POST", "/api/v1/findings/batch", testKey, b.String(), "Content-Type", "application/x-ndjson"); status != 202 {
			r.t.Fatalf("findings are answered %d %s", status, answer)
		}
	}
}

// states counts the deliveries of an endpoint.
func (r *running) states(id hub.EndpointID) map[hub.DeliveryState]int64 {
	r.t.Helper()
	out := map[hub.DeliveryState]int64{}
	err := r.st.View(r.t.Context(), func(rd *store.Reader) error {
		counts, err := rd.CountDeliveries(hub.DefaultTenant, &store.DeliveryFilter{Endpoint: id})
		for _, states := range counts {
			for s, n := range states {
				out[s] += n
			}
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *running) webhook(url, more string) hookView {
	r.t.Helper()
	return call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"`+url+`","events":["alert.created"]`+more+`}`, 201)
}

// An endpoint that fails: its events are held, over a restart too, and come in
// order when it takes them again. Others are told once of each.
func TestAnOutage(t *testing.T) {
	dir := t.TempDir()
	r := start(t, load(t, dir, quick), withKey)
	down, news := newFar(t, always(503)), newFar(t, nil)
	e := r.webhook(down.URL, "")
	r.webhook(news.URL, `,"name":"news"`)
	call[any](r, "PATCH", "/api/v1/webhooks/"+string(e.ID), `{"description":"fails"}`, 200)
	told := call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"`+news.URL+`/told","events":["endpoint.*"]}`, 201)
	r.findings("a", 20)
	down.eventually(t, "the breaker opens and all is held", func() bool {
		v := call[hookView](r, "GET", "/api/v1/webhooks/"+string(e.ID), "", 200)
		s := r.states(e.ID)
		return v.Breaker != nil && v.Breaker.Reason != "" && s[hub.DeliveryPending]+s[hub.DeliveryRetrying]+s[hub.DeliveryDelivering] <= 1 && s[hub.DeliveryHeld] >= 19
	})
	r.findings("b", 700) // more than is moved at a time
	down.eventually(t, "what is new is held", func() bool { return r.states(e.ID)[hub.DeliveryHeld] >= 719 })
	r.stop()
	r = start(t, load(t, dir, quick), nil)
	if v := call[hookView](r, "GET", "/api/v1/webhooks/"+string(e.ID), "", 200); v.Breaker == nil {
		t.Error("a restart closed the breaker")
	}
	if n := r.states(e.ID)[hub.DeliveryHeld]; n < 719 {
		t.Errorf("%d held after a restart, want 719 and a probe", n)
	}
	down.say(nil)
	down.eventually(t, "all comes", func() bool { return len(down.taken()) == 720 })
	down.eventually(t, "it is recorded", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == 720 })
	got := sequences(down)
	if !slices.IsSorted(got[2:]) { // one was the probe before the restart, one after
		t.Errorf("they came in the order %v", got)
	}
	if v := call[hookView](r, "GET", "/api/v1/webhooks/"+string(e.ID), "", 200); v.Breaker != nil {
		t.Errorf("the breaker is still %+v", v.Breaker)
	}
	news.eventually(t, "both changes are told", func() bool { return r.states(told.ID)[hub.DeliverySucceeded] == 2 })
	var types []string
	for _, x := range news.got {
		if x.Type != hub.AlertCreated {
			types = append(types, string(x.Type)+" "+x.Subject)
		}
	}
	if want := []string{"endpoint.disabled " + string(e.ID), "endpoint.recovered " + string(e.ID)}; !slices.Equal(types, want) {
		t.Errorf("told %q, want %q", types, want)
	}
}

func sequences(f *far) (out []int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.got {
		out = append(out, e.Sequence)
	}
	return out
}

// One that is switched off: the same, but without probes.
func TestSwitchedOffAndOn(t *testing.T) {
	r := start(t, load(t, t.TempDir(), quick), withKey)
	f := newFar(t, nil)
	e := r.webhook(f.URL, "")
	path := "/api/v1/webhooks/" + string(e.ID)
	call[any](r, "PATCH", path, `{"enabled":false}`, 200)
	r.findings("a", 300)
	f.eventually(t, "all is held", func() bool { return r.states(e.ID)[hub.DeliveryHeld] == 300 })
	held := call[listed](r, "GET", path+"/deliveries?state=held&limit=200", "", 200)
	if len(held.Data) != 200 || f.all != 0 {
		t.Errorf("%d held deliveries are listed, %d requests came", len(held.Data), f.all)
	}
	if status, answer := r.do("POST", "/api/v1/deliveries/"+string(held.Data[0].ID)+"/retry", testKey, ""); status != 409 {
		t.Errorf("a retry at a disabled endpoint is answered %d %s", status, answer)
	}
	call[any](r, "PATCH", path, `{"enabled":true}`, 200)
	f.eventually(t, "all comes", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == 300 })
	if got := sequences(f); !slices.IsSorted(got) {
		t.Errorf("they came in the order %v", got)
	}
	call[any](r, "PATCH", path, `{"enabled":false}`, 200)
	r.findings("b", 10)
	f.eventually(t, "all is held again", func() bool { return r.states(e.ID)[hub.DeliveryHeld] == 10 })
	call[any](r, "DELETE", path, "", 204)
	f.eventually(t, "what was for one that is gone is over", func() bool { return r.states(e.ID)[hub.DeliveryDead] == 10 })
}

// The changes of one alert come in order though deliveries of it fail, and one
// alert that cannot be delivered holds up no other.
func TestOrderByKey(t *testing.T) {
	r := start(t, load(t, t.TempDir(), "relay: {schedule: [100ms, 100ms, 100ms, 100ms, 100ms, 100ms], breaker: 0, jitter: 0}\n"), withKey)
	var stuck string
	f := newFar(t, func(n int, e *hub.Event) int {
		if e.Subject == stuck || n%5 == 0 {
			return 500
		}
		return 204
	})
	e := call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"`+f.URL+`","events":["alert.*"],"ordering":"key"}`, 201)
	const alerts, changes = 20, 15
	var ids []string
	r.findings("a", alerts)
	f.eventually(t, "the first of each comes", func() bool { return len(f.taken()) == alerts })
	ids = append(ids, f.taken()...)
	f.mu.Lock()
	stuck = ids[0]
	f.mu.Unlock()
	for n := range changes {
		for _, id := range ids {
			call[any](r, "PATCH", "/api/v1/alerts/"+id, fmt.Sprintf(`{"note":"n%d","labels":{"n":"%d"}}`, n, n), 200)
		}
	}
	f.eventually(t, "all others come", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == alerts+changes*(alerts-1) })
	byKey := map[string][]int64{}
	for _, x := range f.got {
		byKey[x.Subject] = append(byKey[x.Subject], x.Data.Alert.Version)
	}
	for id, versions := range byKey {
		if !slices.IsSorted(versions) || id != stuck && len(versions) != changes+1 {
			t.Errorf("%s came in the versions %v", id, versions)
		}
	}
	waiting := call[listed](r, "GET", "/api/v1/webhooks/"+string(e.ID)+"/deliveries?state=pending,retrying,delivering&limit=100", "", 200)
	if len(waiting.Data) == 0 {
		t.Errorf("nothing of the alert that is stuck waits: %v", r.states(e.ID))
	}
	for _, d := range waiting.Data {
		if d.Subject != stuck || d.DueAt.After(time.Now().Add(time.Hour)) {
			t.Errorf("waiting: %+v", d)
		}
	}
	f.say(nil)
	f.eventually(t, "the rest comes", func() bool {
		s := r.states(e.ID)
		return s[hub.DeliverySucceeded]+s[hub.DeliveryDead] == alerts*(changes+1)
	})
	versions := []int64(nil)
	for _, x := range f.got {
		if x.Subject == stuck {
			versions = append(versions, x.Data.Alert.Version)
		}
	}
	if !slices.IsSorted(versions) {
		t.Errorf("what was stuck came in the versions %v", versions)
	}
}

// A dead delivery is told of, but not the death of what tells of it.
func TestDeadLettersAreTold(t *testing.T) {
	r := start(t, load(t, t.TempDir(), "relay: {breaker: 0}\n"), withKey)
	news := newFar(t, nil)
	r.webhook("http://127.0.0.1:1/x", `,"retry":{"attempts":1}`)
	bad := call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"http://127.0.0.1:1/x","events":["*"],"retry":{"attempts":1}}`, 201)
	call[any](r, "POST", "/api/v1/webhooks", `{"url":"`+news.URL+`","events":["delivery.dead"]}`, 201)
	r.findings("a", 1)
	news.eventually(t, "both are told of", func() bool { return len(news.taken()) == 2 })
	news.eventually(t, "the endpoint that takes all gets it in vain", func() bool { return r.states(bad.ID)[hub.DeliveryDead] == 3 })
	if why := news.got[0].Data.Reason; !strings.Contains(why, "by a fault of the endpoint: the connection was refused") {
		t.Errorf("the reason is %q", why)
	}
	r.findings("b", 1) // told of already
	news.eventually(t, "the next one dies", func() bool { return r.states(bad.ID)[hub.DeliveryDead] == 4 })
	if n := len(news.taken()); n != 2 {
		t.Errorf("told %d times", n)
	}
}
