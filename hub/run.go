package hub

import "time"

// A RunState is where a run of a playbook is in its life.
type RunState string

// States of a run.
const (
	RunWaiting RunState = "waiting"
	RunDone    RunState = "done"
	RunFailed  RunState = "failed"
)

// A RunRecord is one run of a playbook as it is stored. Doc is the playbook
// engine's own encoding of it.
type RunRecord struct {
	ID       RunID
	Tenant   TenantID
	Playbook string
	Version  string // of the playbook, as the run pinned it
	Alert    AlertID
	State    RunState
	DueAt    time.Time // when a waiting run goes on
	EventSeq int64     // the event that started it
	Doc      []byte
}
