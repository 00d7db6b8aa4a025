package elastic

import (
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/hub"
)

// Audit gives the document of an audit entry, hashes included, so that what a
// SIEM holds can be compared with the log itself.
func (m Mapping) Audit(e *hub.AuditEntry) Doc {
	w := builder{b: append(make([]byte, 0, 1024+len(e.Details)), '{')}
	w.time("@timestamp", e.Timestamp)
	w.stream("tocsin.audit", m.Namespace)
	w.auditEvent(e)
	w.common(e.Tenant, e.Action+" "+e.ResourceType+" "+e.ResourceID)
	w.auditRequest(e)
	w.strs("tags", "tocsin", "audit")
	t := w.open("tocsin")
	w.str("tenant", string(e.Tenant))
	w.ownAudit(e)
	w.raw("raw", e.Details)
	w.close(t)
	w.b = append(w.b, '}')
	return Doc{Index: auditStream + m.Namespace, ID: auditID(e), Body: w.b}
}

func auditID(e *hub.AuditEntry) string {
	if e.ID != "" {
		return e.ID
	}
	return string(e.Tenant) + "-" + strconv.FormatInt(e.Sequence, 10)
}

func (w *builder) auditEvent(e *hub.AuditEntry) {
	category := auditCategory(e)
	o := w.open("event")
	w.str("kind", kindEvent)
	w.strs("category", category)
	w.strs("type", auditType(category, e.Action))
	w.str("module", "tocsin")
	w.str("dataset", "tocsin.audit")
	w.str("id", auditID(e))
	w.str("action", e.Action)
	w.str("outcome", auditOutcome(e.Outcome))
	w.time("created", e.Timestamp)
	w.num("sequence", e.Sequence)
	w.close(o)
}

// auditRequest writes who asked and how.
func (w *builder) auditRequest(e *hub.AuditEntry) {
	o := w.open("user")
	w.str("id", e.UserID)
	w.str("email", e.UserEmail)
	w.close(o)
	if isIP(e.IPAddress) {
		o = w.open("source")
		w.str("ip", e.IPAddress)
		w.close(o)
	}
	o = w.open("user_agent")
	w.str("original", e.UserAgent)
	w.close(o)
	w.auditHTTP(e)
	o = w.open("related")
	if isIP(e.IPAddress) {
		w.strs("ip", e.IPAddress)
	}
	w.strs("user", e.UserID, e.UserEmail)
	w.close(o)
}

func (w *builder) auditHTTP(e *hub.AuditEntry) {
	o := w.open("http")
	request := w.open("request")
	w.str("method", e.RequestMethod)
	w.close(request)
	if e.ResponseStatus != 0 {
		response := w.open("response")
		w.num("status_code", int64(e.ResponseStatus))
		w.close(response)
	}
	w.close(o)
	o = w.open("url")
	w.str("path", e.RequestPath)
	w.close(o)
}

func (w *builder) ownAudit(e *hub.AuditEntry) {
	o := w.open("audit")
	w.num("sequence", e.Sequence)
	w.str("actor_type", string(e.ActorType))
	w.str("resource_type", e.ResourceType)
	w.str("resource_id", e.ResourceID)
	w.str("outcome", string(e.Outcome))
	w.str("prev_hash", e.PrevHash)
	w.str("integrity_hash", e.IntegrityHash)
	w.close(o)
}

// auditCategory gives event.category for an entry.
func auditCategory(e *hub.AuditEntry) string {
	subject, _, _ := strings.Cut(e.Action, ".")
	switch subject {
	case "auth", "session", "mfa":
		return "authentication"
	case "user", "role", "api_key", "key", "group", "scim", "permission":
		return "iam"
	case "setting", "settings", "connector", "webhook", "channel", "playbook", "alert_rule", "config":
		return "configuration"
	}
	return "api"
}

// auditType gives event.type, of those that ECS expects with the category.
func auditType(category, action string) string {
	_, verb, _ := strings.Cut(action, ".")
	switch {
	case category == "authentication" && (verb == "login" || verb == "refresh"):
		return "start"
	case category == "authentication" && verb == "logout":
		return "end"
	case category == "authentication":
		return "info"
	case verb == "create" || verb == "invite" || verb == "accept":
		return "creation"
	case verb == "delete" || verb == "revoke":
		return "deletion"
	case verb == "update" || verb == "rotate" || verb == "pause" || verb == "resume":
		return "change"
	}
	return "info"
}

// auditOutcome gives event.outcome, a closed list without "denied".
func auditOutcome(o hub.AuditOutcome) string {
	switch o {
	case hub.AuditSuccess:
		return "success"
	case hub.AuditFailure, hub.AuditDenied:
		return "failure"
	}
	return "unknown"
}
