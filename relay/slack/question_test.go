package slack_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay/slack"
)

func approval() *hub.Approval {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &hub.Approval{
		ID: "apr_01", Tenant: "default", Run: "run_1", Playbook: "contain", Step: "ask", Subject: "alt_01", Message: "Contain <@U1> & co?", By: []string{"ada@example.com"}, Quorum: 2,
		State: hub.ApprovalWaiting, Answers: []hub.Answer{}, CreatedAt: at, ExpiresAt: at.Add(time.Hour), Version: 1,
	}
}

// A question has buttons where they are heard, and says how to answer where not.
func TestQuestion(t *testing.T) {
	params, err := json.Marshal(map[string]any{"approval": approval(), "how": "To answer: tocsin approvals approve apr_01"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		e       func(string) *hub.Endpoint
		heard   bool
		buttons string
	}{
		{"with a token and a secret", bot, true, "[tocsin.approve:apr_01:1 tocsin.deny:apr_01:1]"},
		{"with a token", bot, false, "[]"},
		{"through an incoming webhook", hook, true, "[]"},
	} {
		s, url := simulated(t)
		target := slack.New(slack.Options{Client: client(), Buttons: func(*hub.Endpoint) bool { return c.heard }})
		a, err := target.Send(t.Context(), c.e(url), delivery(event(), string(params)))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		m := s.Messages("")[0]
		text := fmt.Sprint(m.Blocks)
		if got := fmt.Sprint(m.Buttons()); got != c.buttons || strings.Contains(text, "To answer") == (c.buttons != "[]") {
			t.Errorf("%s: buttons %s in %s", c.name, got, text)
		}
		if m.Text != "Approval needed · contain" || len(m.Mentions) > 0 || !strings.Contains(text, "0 of 2") {
			t.Errorf("%s: %+v", c.name, m)
		}
		if c.e(url).ID == "chn_1" && (len(a.Posted) != 1 || a.Posted[0].Alert != "apr_01" || a.Posted[0].Version != 1 || a.Posted[0].Message != m.TS) {
			t.Errorf("%s: it is noted as %+v", c.name, a.Posted)
		}
		if v := s.Violations(); len(v) > 0 {
			t.Errorf("%s: %v", c.name, v)
		}
	}
}

// The message shows what was answered and how it ended.
func TestQuestionIsEdited(t *testing.T) {
	ada := hub.Answer{Who: "usr_1", Name: "ada@example.com", Decision: hub.Approve, Note: "go <!here>", At: time.Date(2026, 3, 1, 12, 5, 0, 0, time.UTC)}
	deny := ada
	deny.Decision = hub.Deny
	for _, c := range []struct {
		state   hub.ApprovalState
		answers []hub.Answer
		head    string
		text    string
		buttons bool
	}{
		{hub.ApprovalWaiting, []hub.Answer{ada}, "Approval needed · contain", "*Approved* by ada@example.com · 2026-03-01 12:05:00 UTC · go &lt;!here&gt;", true},
		{hub.ApprovalApproved, []hub.Answer{ada, ada}, "Approved · contain", "*Approved* by ada@example.com", false},
		{hub.ApprovalDenied, []hub.Answer{deny}, "Denied · contain", "*Denied* by ada@example.com", false},
		{hub.ApprovalTimedOut, []hub.Answer{ada}, "Not decided in time · contain", "*Nobody decided* until 2026-03-01 13:00:00 UTC", false},
	} {
		s, url := simulated(t)
		target := slack.New(slack.Options{Client: client(), Buttons: func(*hub.Endpoint) bool { return true }})
		params, err := json.Marshal(map[string]any{"approval": approval()})
		if err != nil {
			t.Fatal(err)
		}
		sent, err := target.Send(t.Context(), bot(url), delivery(event(), string(params)))
		if err != nil {
			t.Fatal(err)
		}
		a := approval()
		a.State, a.Answers, a.Version = c.state, c.answers, 7
		p, err := target.RefreshQuestion(t.Context(), bot(url), sent.Posted[0], a)
		if err != nil || p.Version != 7 {
			t.Errorf("%s: it shows version %d, %v", c.state, p.Version, err)
		}
		m := s.Messages("")[0]
		asks := slices.ContainsFunc(m.Buttons(), func(id string) bool { return strings.HasPrefix(id, "tocsin.") })
		if m.Text != c.head || m.Edits != 1 || asks != c.buttons || !strings.Contains(fmt.Sprint(m.Blocks), c.text) || len(m.Mentions) > 0 {
			t.Errorf("%s: %+v", c.state, m)
		}
		if v := s.Violations(); len(v) > 0 {
			t.Errorf("%s: %v", c.state, v)
		}
		s.Delete(m.Channel, m.TS)
		if _, err := target.RefreshQuestion(t.Context(), bot(url), sent.Posted[0], a); err != nil {
			t.Errorf("one that was deleted: %v", err)
		}
	}
}
