package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tocsin/tocsin/hub"
)

// AuditFilter are the query parameters that choose audit entries.
type AuditFilter struct {
	UserID       string `query:"user_id"`
	Action       string `query:"action"`
	ResourceType string `query:"resource_type"`
	ResourceID   string `query:"resource_id"`
	IP           string `query:"ip"`
	StartTime    string `query:"start_time" doc:"RFC 3339"`
	EndTime      string `query:"end_time" doc:"RFC 3339"`
	Q            string `query:"q" doc:"Text anywhere in the entry"`
	Limit        int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
	Offset       int    `query:"offset" minimum:"0" maximum:"100000"`
	After        string `query:"after" doc:"Cursor: next_cursor of the part before"`
}

func (f *AuditFilter) parse() (AuditQuery, error) {
	q := AuditQuery{
		UserID: f.UserID, Action: f.Action, ResourceType: f.ResourceType, ResourceID: f.ResourceID, IP: f.IP, Q: f.Q,
		Limit: f.Limit, Offset: f.Offset, After: f.After,
	}
	var err error
	if q.Start, err = parseTime("start_time", f.StartTime); err != nil {
		return q, err
	}
	q.End, err = parseTime("end_time", f.EndTime)
	return q, err
}

func (s *Server) auditRoutes() {
	const tag = "audit"
	register(s, operation{method: "GET", path: "/audit/logs", permission: "audit_logs:read", summary: "List audit entries, newest first", tag: tag},
		func(ctx context.Context, p hub.Principal, in *AuditFilter) (*listOutput[hub.AuditEntry], error) {
			q, err := in.parse()
			if err != nil {
				return nil, err
			}
			logs, err := s.deps.Audit.Logs(ctx, p, q)
			return listOf(List[hub.AuditEntry]{Data: logs.Data, Next: logs.Next}, err)
		})
	register(s, operation{method: "GET", path: "/audit/stats", permission: "audit_logs:read", summary: "Count audit entries by action and resource", tag: tag},
		func(ctx context.Context, p hub.Principal, in *AuditFilter) (*struct{ Body AuditStats }, error) {
			q, err := in.parse()
			if err != nil {
				return nil, err
			}
			st, err := s.deps.Audit.Stats(ctx, p, q)
			return &struct{ Body AuditStats }{st}, err
		})
	register(s, operation{method: "GET", path: "/audit/export", permission: "audit_logs:export", summary: "Export audit entries as json, csv or ndjson", tag: tag}, s.exportAudit)
	register(s, operation{method: "GET", path: "/audit/checkpoint", permission: "audit_logs:read", summary: "The newest signed checkpoint", tag: tag},
		func(ctx context.Context, p hub.Principal, _ *struct{}) (*struct {
			ContentType string `header:"Content-Type"`
			Body        []byte
		}, error,
		) {
			note, err := s.deps.Audit.Checkpoint(ctx, p.Tenant)
			return &struct {
				ContentType string `header:"Content-Type"`
				Body        []byte
			}{"text/plain; charset=utf-8", note}, err
		})
	register(s, operation{method: "GET", path: "/audit/proof/{id}", permission: "audit_logs:read", summary: "Prove that an entry is in the log", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{ Body any }, error) {
			v, err := s.deps.Audit.Proof(ctx, p.Tenant, in.ID)
			return &struct{ Body any }{v}, err
		})
	register(s, operation{method: "GET", path: "/audit/verify", permission: "audit_logs:read", summary: "Check the whole log", tag: tag},
		func(ctx context.Context, p hub.Principal, _ *struct{}) (*struct{ Body any }, error) {
			v, err := s.deps.Audit.Verify(ctx, p)
			return &struct{ Body any }{v}, err
		})
}

func (s *Server) exportAudit(ctx context.Context, p hub.Principal, in *struct {
	AuditFilter
	Format string `query:"format" enum:"json,csv,ndjson" default:"ndjson"`
},
) (*huma.StreamResponse, error) {
	q, err := in.parse()
	if err != nil {
		return nil, err
	}
	types := map[string]string{"json": "application/json", "csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", types[in.Format])
		hc.SetHeader("Content-Disposition", `attachment; filename="audit.`+in.Format+`"`)
		w := hc.BodyWriter()
		err := s.deps.Audit.Export(ctx, p, in.Format, q, func(b []byte) error {
			_, err := w.Write(b)
			return err
		})
		if err != nil { // the answer has begun: all that can be done is to break it off
			s.deps.Log.ErrorContext(ctx, "export failed", "error", err)
		}
	}}, nil
}
