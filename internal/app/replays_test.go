package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

type replayed struct {
	hub.Replay
	Count  int64 `json:"count"`
	DryRun bool  `json:"dry_run"`
}

// What a dry run counts is what is sent, each once more and under the same id, and
// attempts go on counting.
func TestReplay(t *testing.T) {
	r := start(t, load(t, t.TempDir(), quick), withKey)
	f := newFar(t, nil)
	e := call[hookView](r, "POST", "/api/v1/webhooks", `{"url":"`+f.URL+`","events":["alert.*"]}`, 201)
	other := r.webhook(f.URL+"/other", "")
	path := "/api/v1/webhooks/" + string(e.ID)
	r.findings("a", 300)
	f.eventually(t, "all came", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == 300 })
	middle := time.Now()
	r.findings("b", 400)
	f.eventually(t, "all came", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == 700 })
	call[any](r, "POST", path+"/test", "", 200)
	f.eventually(t, "the other one is done", func() bool { return r.states(other.ID)[hub.DeliverySucceeded] == 700 })
	before := map[hub.EventID]int{}
	for _, x := range f.got {
		before[x.ID]++
	}
	body := fmt.Sprintf(`{"since":%q,"events":["alert.created"]`, middle.UTC().Format(time.RFC3339Nano))
	dry := call[replayed](r, "POST", path+"/replay", body+`,"dry_run":true}`, 200)
	if dry.Count != 400 || !dry.DryRun {
		t.Errorf("a dry run counts %+v, want 400", dry)
	}
	p := call[replayed](r, "POST", path+"/replay", body+"}", 202)
	f.eventually(t, "the replay is over", func() bool {
		return call[replayed](r, "GET", "/api/v1/replays/"+string(p.ID), "", 200).State == hub.ReplayDone
	})
	f.eventually(t, "all is sent", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == 701 })
	if p = call[replayed](r, "GET", "/api/v1/replays/"+string(p.ID), "", 200); p.Total != 400 || p.Done != 400 || p.Skipped != 0 {
		t.Errorf("the replay ended as %+v", p)
	}
	again := 0
	for _, x := range f.got {
		before[x.ID]--
	}
	for id, n := range before {
		switch {
		case n == -1:
			again++
		case n != 0:
			t.Errorf("%s came %d times more", id, -n)
		}
	}
	if again != 400 {
		t.Errorf("%d events came again, want 400", again)
	}
	list := call[listed](r, "GET", path+"/deliveries?limit=2", "", 200)
	v := call[struct {
		Attempts []hub.Attempt `json:"attempt_log"`
	}](r, "GET", "/api/v1/deliveries/"+string(list.Data[1].ID), "", 200)
	if len(v.Attempts) != 2 || v.Attempts[0].Number != 1 || v.Attempts[1].Number != 2 {
		t.Errorf("attempts are %+v", v.Attempts)
	}
	if all := call[struct {
		Data []replayed `json:"data"`
	}](r, "GET", path+"/replays", "", 200); len(all.Data) != 1 || all.Data[0].ID != p.ID {
		t.Errorf("replays are listed as %+v", all)
	}
}

// A replay goes on after a restart, waits while its endpoint takes nothing, and
// ends when it is cancelled.
func TestAReplayOverARestart(t *testing.T) {
	dir := t.TempDir()
	r := start(t, load(t, dir, quick), withKey)
	f := newFar(t, nil)
	e := r.webhook(f.URL, "")
	path := "/api/v1/webhooks/" + string(e.ID)
	r.findings("a", 1500)
	f.eventually(t, "all came", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == 1500 })
	const all = `{"since":"2020-01-01T00:00:00Z"}`
	state := func(id hub.ReplayID) replayed {
		return call[replayed](r, "GET", "/api/v1/replays/"+string(id), "", 200)
	}
	p := call[replayed](r, "POST", path+"/replay", all, 202)
	f.eventually(t, "some came", func() bool { return state(p.ID).Done > 0 })
	call[any](r, "PATCH", path, `{"enabled":false}`, 200)
	r.stop()
	r = start(t, load(t, dir, quick), nil)
	if s := state(p.ID); s.State != hub.ReplayRunning || s.Done == 0 || s.Done == 1500 {
		t.Fatalf("after a restart the replay is %+v", s)
	}
	call[any](r, "PATCH", path, `{"enabled":true}`, 200)
	f.eventually(t, "it is over", func() bool { return state(p.ID).State == hub.ReplayDone })
	f.eventually(t, "all came again", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == 1500 })
	times := map[hub.EventID]int{}
	for _, x := range f.got {
		times[x.ID]++
	}
	for id, n := range times {
		if n != 2 {
			t.Errorf("%s came %d times, want twice", id, n)
		}
	}
	p = call[replayed](r, "POST", path+"/replay", all, 202)
	call[any](r, "POST", "/api/v1/replays/"+string(p.ID)+"/cancel", "", 200)
	if s := state(p.ID); s.State != hub.ReplayCancelled || s.Done > 1000 {
		t.Errorf("a cancelled replay is %+v", s)
	}
	done := state(p.ID).Done
	call[any](r, "POST", "/api/v1/replays/"+string(p.ID)+"/cancel", "", 200) // the same again
	r.findings("b", 1)
	f.eventually(t, "what is due is sent", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == 1501 })
	if s := state(p.ID); s.Done != done {
		t.Errorf("a cancelled replay went on from %d to %d", done, s.Done)
	}
}

func TestReplayRefuses(t *testing.T) {
	r := start(t, load(t, t.TempDir(), quick), withKey)
	e := r.webhook("http://127.0.0.1:9/x", "")
	for body, want := range map[string]string{
		`{"since":"yesterday"}`: "/since",
		`{"since":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}`: "/since",
		`{"since":"2026-01-01T00:00:00Z","events":["alrt.*"]}`:            "/events/0",
		`{"since":"2026-01-01T00:00:00Z","events":["webhook.test"]}`:      "/events",
		`{"since":"2026-01-01T00:00:00Z","state":["lost"]}`:               "/state/0",
		`{"until":"2026-01-01T00:00:00Z"}`:                                "since",
	} {
		status, answer := r.do("POST", "/api/v1/webhooks/"+string(e.ID)+"/replay", testKey, body)
		if status != 422 || !strings.Contains(answer, want) {
			t.Errorf("%s is answered %d %s, want 422 about %s", body, status, answer, want)
		}
	}
	if status, _ := r.do("POST", "/api/v1/webhooks/whk_none/replay", testKey, `{"since":"2026-01-01T00:00:00Z"}`); status != 404 {
		t.Errorf("of an endpoint that is not there: %d", status)
	}
	if status, _ := r.do("POST", "/api/v1/replays/rpl_none/cancel", testKey, ""); status != 404 {
		t.Errorf("a replay that is not there is cancelled with %d", status)
	}
}

// A retry by hand takes the place of the one that waits, and a dead delivery
// starts its schedule anew.
func TestRetryByHand(t *testing.T) {
	r := start(t, load(t, t.TempDir(), "relay: {schedule: [1h], jitter: 0}\n"), withKey)
	f := newFar(t, always(500))
	e := r.webhook(f.URL, "")
	r.findings("a", 1)
	f.eventually(t, "it waits", func() bool { return r.states(e.ID)[hub.DeliveryRetrying] == 1 })
	d := call[listed](r, "GET", "/api/v1/webhooks/"+string(e.ID)+"/deliveries", "", 200).Data[0]
	retry := func() { call[any](r, "POST", "/api/v1/deliveries/"+string(d.ID)+"/retry", "", 200) }
	retry()
	f.eventually(t, "it is dead", func() bool { return r.states(e.ID)[hub.DeliveryDead] == 1 })
	if f.all != 2 {
		t.Errorf("%d requests, want 2", f.all)
	}
	retry()
	f.eventually(t, "it waits again", func() bool { return r.states(e.ID)[hub.DeliveryRetrying] == 1 })
	f.say(nil)
	retry()
	f.eventually(t, "it is taken", func() bool { return r.states(e.ID)[hub.DeliverySucceeded] == 1 })
	v := call[struct {
		Attempts []hub.Attempt `json:"attempt_log"`
	}](r, "GET", "/api/v1/deliveries/"+string(d.ID), "", 200)
	var log []string
	for _, a := range v.Attempts {
		log = append(log, fmt.Sprint(a.Number, " ", a.Status, " ", a.Verdict))
	}
	if got := strings.Join(log, ", "); got != "1 500 retry, 2 500 dead, 3 500 retry, 4 204 succeeded" {
		t.Errorf("attempts are %s", got)
	}
}
