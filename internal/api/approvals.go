package api

import (
	"context"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/page"
)

// Approvals are what runs of playbooks wait on, and the runs.
type Approvals interface {
	List(ctx context.Context, t hub.TenantID, state hub.ApprovalState, pg page.Request) (List[*hub.Approval], error)
	Approval(ctx context.Context, t hub.TenantID, id hub.ApprovalID) (*hub.Approval, error)
	// Answer takes the answer of p. After the decision, and from who has answered
	// already, it is an error of kind Conflict that names who did.
	Answer(ctx context.Context, p hub.Principal, id hub.ApprovalID, d hub.Decision, note string, idem Idempotency) (*hub.Approval, error)

	Runs(ctx context.Context, t hub.TenantID, pg page.Request) (List[*PlaybookRun], error)
	Run(ctx context.Context, t hub.TenantID, id hub.RunID) (*PlaybookRun, error)
}

// A PlaybookRun is one run of a playbook, as far as it has come.
type PlaybookRun struct {
	ID       hub.RunID     `json:"id"`
	Playbook string        `json:"playbook"`
	Version  string        `json:"version"`
	Event    hub.EventID   `json:"event_id"`
	Type     hub.EventType `json:"event_type"`
	Subject  string        `json:"subject"`
	Alert    hub.AlertID   `json:"alert_id,omitempty"`
	State    hub.RunState  `json:"state" doc:"waiting, done or failed"`
	// Approval is what a waiting run waits on, if it waits for people.
	Approval  hub.ApprovalID `json:"approval_id,omitempty" doc:"What it waits on, if it waits for people"`
	Due       time.Time      `json:"due_at,omitzero" doc:"When a waiting run goes on, or gives up waiting for people"`
	StartedAt time.Time      `json:"started_at"`
	EndedAt   time.Time      `json:"ended_at,omitzero"`
	Steps     []PlaybookStep `json:"steps"`
}

// A PlaybookStep is how far a step of a run came.
type PlaybookStep struct {
	ID     string         `json:"id"`
	Status string         `json:"status" doc:"done, skipped, failed or waiting"`
	At     time.Time      `json:"at"`
	Items  int            `json:"items,omitempty"`
	Output jsontext.Value `json:"output,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// ApprovalID is the path parameter of an approval or of a run.
type ApprovalID struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) approvalRoutes() {
	const tag = "playbooks"
	register(s, operation{method: "GET", path: "/approvals", permission: "playbooks:read", summary: "List what playbooks ask people, newest first", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			PageParams
			State string `query:"state" doc:"waiting, approved, denied or timed_out"`
		},
		) (*listOutput[*hub.Approval], error) {
			state := hub.ApprovalState(in.State)
			if state != "" && !slices.Contains(hub.ApprovalStates[:], state) {
				return nil, hub.E(hub.Malformed, "state must be of waiting, approved, denied, timed_out")
			}
			pg, err := in.parse()
			if err != nil {
				return nil, err
			}
			return listOf(s.deps.Approvals.List(ctx, p.Tenant, state, pg))
		})
	register(s, operation{method: "GET", path: "/approvals/{id}", permission: "playbooks:read", summary: "Show what a playbook asks, with the answers", tag: tag},
		func(ctx context.Context, p hub.Principal, in *ApprovalID) (*struct{ Body *hub.Approval }, error) {
			a, err := s.deps.Approvals.Approval(ctx, p.Tenant, hub.ApprovalID(in.ID))
			return &struct{ Body *hub.Approval }{a}, err
		})
	register(s, operation{method: "POST", path: "/approvals/{id}", permission: "alerts:update", summary: "Approve or deny what a playbook asks", tag: tag}, s.answerApproval)
	register(s, operation{method: "GET", path: "/playbook-runs", permission: "playbooks:read", summary: "List runs of playbooks, newest first", tag: tag},
		func(ctx context.Context, p hub.Principal, in *cursorParams) (*listOutput[*PlaybookRun], error) {
			pg, err := page.Parse(in.Limit, in.After, "")
			if err != nil {
				return nil, err
			}
			return listOf(s.deps.Approvals.Runs(ctx, p.Tenant, pg))
		})
	register(s, operation{method: "GET", path: "/playbook-runs/{id}", permission: "playbooks:read", summary: "Show a run of a playbook with its steps", tag: tag},
		func(ctx context.Context, p hub.Principal, in *ApprovalID) (*struct{ Body *PlaybookRun }, error) {
			r, err := s.deps.Approvals.Run(ctx, p.Tenant, hub.RunID(in.ID))
			return &struct{ Body *PlaybookRun }{r}, err
		})
}

// cursorParams are for lists that have no page numbers.
type cursorParams struct {
	Limit string `query:"limit" doc:"1 to 200"`
	After string `query:"after" doc:"The cursor of the page before"`
}

// answerApproval takes an answer. It is a POST, and no link can stand for it:
// what previews links would press it.
func (s *Server) answerApproval(ctx context.Context, p hub.Principal, in *struct {
	ApprovalID
	IdemHeader
	Body struct {
		Decision hub.Decision `json:"decision" enum:"approve,deny"`
		Note     string       `json:"note,omitempty" maxLength:"2000"`
	}
},
) (*struct{ Body *hub.Approval }, error) {
	idem := in.key(p, 200, []any{p.ID, in.Body}, same) // an answer is its person's
	a, err := s.deps.Approvals.Answer(ctx, p, hub.ApprovalID(in.ID), in.Body.Decision, in.Body.Note, idem)
	if err != nil {
		a = new(hub.Approval)
		if err := replayed(ctx, err, a); err != nil {
			return nil, err
		}
	}
	return &struct{ Body *hub.Approval }{a}, nil
}
