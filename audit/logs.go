package audit

import (
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/hub"
)

// OfLog chooses, of the checkpoints of all tenants, those that a tenant's log is
// held to, and says which log it must be. That is the one the database names, if
// checkpoints of it are known; else the last one known of the tenant, so that a
// log that was put in its place under another name does not pass.
func OfLog(notes [][]byte, tenant hub.TenantID, stored string) (name string, own [][]byte) {
	for _, n := range notes {
		log := logOf(n)
		if parts := strings.Split(log, "/"); len(parts) == 4 && parts[2] != string(tenant) {
			continue
		}
		name = log
		if log == stored {
			break
		}
	}
	return name, ByLog(notes)[name]
}

// logOf gives the log that a checkpoint is of: its first line.
func logOf(note []byte) string {
	log, _, _ := strings.Cut(string(note), "\n")
	return log
}

// ByLog sorts checkpoints by the names of their logs.
func ByLog(notes [][]byte) map[string][][]byte {
	all := map[string][][]byte{}
	for _, n := range notes {
		all[logOf(n)] = append(all[logOf(n)], n)
	}
	return all
}

// JudgeHead tells of a stored end that is missing or names another log. [Verify]
// passes both over, because checkpoints stand in for it; a hub would begin a second
// log behind it.
func (r *Report) JudgeHead(head hub.AuditHead) {
	if r.Verdict != Intact && r.Verdict != Uncovered || r.Entries == 0 || head.Log == r.Log && head.Log != "" {
		return
	}
	detail := "the stored end of the log is missing"
	if head.Log != "" {
		detail = fmt.Sprintf("the stored end names the log %s", head.Log)
	}
	r.Verdict, r.Fault = Tampered, &Fault{Kind: BadHead, Sequence: -1, Detail: detail}
}
