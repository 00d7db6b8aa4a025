package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

type approvalsCmd struct {
	List    approvalsListCmd    `cmd:"" help:"List what playbooks ask people, newest first."`
	Approve approvalsApproveCmd `cmd:"" help:"Approve what playbooks ask."`
	Deny    approvalsDenyCmd    `cmd:"" help:"Deny what playbooks ask."`
}

// Help gives an example.
func (approvalsCmd) Help() string {
	return `Examples:
  tocsin approvals list --state waiting
  tocsin approvals approve apr_01J0 --note "agreed with the owner"`
}

type approvalsListCmd struct {
	apiFlags
	pageFlags
	State string `placeholder:"S" help:"waiting, approved, denied or timed_out."`
}

// Help gives an example.
func (approvalsListCmd) Help() string {
	return `Example:
  tocsin approvals list --state waiting`
}

// Run lists approvals.
func (c *approvalsListCmd) Run(ctx context.Context, p *program) error {
	header := []string{"ID", "STATE", "PLAYBOOK", "ABOUT", "APPROVED", "UNTIL", "MESSAGE"}
	return list(ctx, p, &c.apiFlags, "/approvals", filters("state", c.State), c.pageFlags, header, func(a *hub.Approval) []string {
		approved := 0
		for i := range a.Answers {
			if a.Answers[i].Decision == hub.Approve {
				approved++
			}
		}
		return []string{
			string(a.ID), string(a.State), a.Playbook, a.Subject, fmt.Sprintf("%d of %d", approved, a.Quorum), clock(a.ExpiresAt),
			strings.Join(strings.Fields(a.Message), " "),
		}
	})
}

// approvalsAnswer is what the commands that answer take.
type approvalsAnswer struct {
	apiFlags
	IDs  []string `arg:"" name:"id" help:"Ids of approvals."`
	Note string   `placeholder:"TEXT" help:"Why."`
}

func (c *approvalsAnswer) do(ctx context.Context, p *program, d hub.Decision) error {
	body := map[string]string{"decision": string(d)}
	if c.Note != "" {
		body["note"] = c.Note
	}
	return c.each(ctx, p, c.IDs, http.MethodPost, "/approvals/%s", body, func(answer jsontext.Value) error {
		var a hub.Approval
		if err := json.Unmarshal(answer, &a); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.stdout, "%s is %s\n", a.ID, a.State)
		return err
	})
}

type approvalsApproveCmd struct{ approvalsAnswer }

// Help gives an example.
func (approvalsApproveCmd) Help() string {
	return `Example:
  tocsin approvals approve apr_01J0 --note "agreed with the owner"`
}

// Run approves.
func (c *approvalsApproveCmd) Run(ctx context.Context, p *program) error {
	return c.do(ctx, p, hub.Approve)
}

type approvalsDenyCmd struct{ approvalsAnswer }

// Help gives an example.
func (approvalsDenyCmd) Help() string {
	return `Example:
  tocsin approvals deny apr_01J0 --note "it is a test system"`
}

// Run denies.
func (c *approvalsDenyCmd) Run(ctx context.Context, p *program) error {
	return c.do(ctx, p, hub.Deny)
}
