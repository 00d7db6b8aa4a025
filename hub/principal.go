package hub

import "slices"

// A Principal is who does something: a person, an API key, a source system, a
// playbook or the hub itself.
type Principal struct {
	Tenant TenantID
	Type   ActorType
	ID     string // usr_…, key_…, or the name of the source or playbook
	Email  string // of a person
	Role   string // a system role; "" where the hub knows none
	// Label is how timelines name a person whom the hub knows from elsewhere only,
	// such as PagerDuty; "" if ID does.
	Label string
	// At is the endpoint at which they did it and that knows it already: what
	// follows from it is not sent there. "" if there is none.
	At EndpointID
	// Permissions that the principal holds, as resource:action; "*" is all.
	Permissions []string

	// How the request came in; empty for what the hub does by itself.
	IP, UserAgent, Method, Path, RequestID string
}

// Roles lists the names of the system roles, most powerful first; internal/access
// says what each may do.
var Roles = [...]string{"owner", "admin", "analyst", "member", "viewer", "ingest"}

// An ActorType is the kind of a principal.
type ActorType string

// Kinds of principal.
const (
	ActorUser     ActorType = "user"
	ActorKey      ActorType = "api_key"
	ActorSource   ActorType = "source"
	ActorPlaybook ActorType = "playbook"
	ActorSystem   ActorType = "system"
)

// System is the hub itself, acting for a tenant.
func System(t TenantID) Principal { return Principal{Tenant: t, Type: ActorSystem, ID: "system"} }

// Can reports whether p holds the permission, such as alerts:update.
func (p Principal) Can(permission string) bool {
	return p.Type == ActorSystem || slices.Contains(p.Permissions, "*") || slices.Contains(p.Permissions, permission)
}

// Name is how timelines show the principal.
func (p Principal) Name() string {
	if p.Label != "" {
		return p.Label
	}
	switch p.Type {
	case ActorUser, ActorKey, ActorSystem:
		return p.ID
	}
	return string(p.Type) + ":" + p.ID
}
