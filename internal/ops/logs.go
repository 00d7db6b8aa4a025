package ops

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store/driver"
)

// A LogReport is what verifying a tenant's audit log came to.
type LogReport struct {
	Tenant  string        `json:"tenant"`
	Entries int64         `json:"entries"`
	Verdict audit.Verdict `json:"verdict"`
	Text    string        `json:"text"`
}

// sound reports whether all logs are as they were sealed. One whose end no
// checkpoint covers is.
func sound(logs []LogReport) error {
	for _, l := range logs {
		if l.Verdict != audit.Intact && l.Verdict != audit.Uncovered {
			return fmt.Errorf("the audit log of tenant %s: %s", l.Tenant, l.Text)
		}
	}
	return nil
}

// verifyLogs verifies the audit log of every tenant.
func verifyLogs(ctx context.Context, q driver.Querier, keys []ed25519.PublicKey, notes [][]byte, progress func(done, total int64)) ([]LogReport, error) {
	var tenants []hub.TenantID
	err := q.Query("SELECT tenant FROM audit_logs UNION SELECT tenant FROM audit_heads ORDER BY tenant", nil, func(v []any) error {
		tenants = append(tenants, hub.TenantID(textOf(v[0])))
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := []LogReport{}
	for _, t := range tenants {
		l := &storedLog{q: q, tenant: t, head: hub.AuditHead{Tenant: t}}
		if err := l.look(); err != nil {
			return nil, err
		}
		opts := audit.Options{Keys: keys}
		opts.Log, opts.Checkpoints = audit.OfLog(notes, t, l.head.Log)
		if progress != nil {
			opts.Progress = func(n int64) { progress(n, l.head.Size) }
		}
		report := audit.Verify(ctx, l, opts)
		report.JudgeHead(l.head)
		all = append(all, LogReport{Tenant: string(t), Entries: report.Entries, Verdict: report.Verdict, Text: report.String()})
	}
	return all, ctx.Err()
}
