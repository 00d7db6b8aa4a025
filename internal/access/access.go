// Package access knows who may do what: system roles and their permissions, API
// keys and how they are kept, passwords and how they are hashed.
//
// It stores nothing itself: internal/app hands over the look-ups. API keys are
// 32 random bytes, so a plain SHA-256 of their text is enough to keep them;
// passwords are chosen by people and need argon2id.
package access

import (
	"slices"

	"github.com/tocsin/tocsin/hub"
)

// Names of the system roles, most powerful first.
const (
	Owner   = "owner"
	Admin   = "admin"
	Analyst = "analyst"
	Member  = "member"
	Viewer  = "viewer"
	Ingest  = "ingest"
)

// Roles lists the system roles, most powerful first.
var Roles = hub.Roles

// actions of each resource, as far as each makes sense (contract §10).
var actions = []struct {
	resource string
	actions  []string
}{
	{"findings", []string{"read", "create"}},
	{"alerts", []string{"read", "create", "update"}},
	{"incidents", []string{"read", "create", "update", "delete"}},
	{"assets", []string{"read", "create", "update", "delete"}},
	{"reports", []string{"read", "create", "delete"}},
	{"playbooks", []string{"read", "create", "update", "delete"}},
	{"connectors", []string{"read", "create", "update", "delete"}},
	{"alert_rules", []string{"read", "create", "update", "delete"}},
	{"alert_channels", []string{"read", "create", "update", "delete"}},
	{"webhooks", []string{"read", "create", "update", "delete"}},
	{"users", []string{"read", "create", "update", "delete"}},
	{"roles", []string{"read", "create", "update", "delete"}},
	{"api_keys", []string{"read", "create", "update", "delete"}},
	{"settings", []string{"read", "update"}},
	{"scim", []string{"read", "create", "update", "delete"}},
	{"audit_logs", []string{"read", "export"}},
}

// Permissions lists every permission, as resource:action.
func Permissions() []string {
	var all []string
	for _, r := range actions {
		for _, a := range r.actions {
			all = append(all, r.resource+":"+a)
		}
	}
	return all
}

// security are the resources that decide who may do what; an analyst or member
// does not see them.
var security = []string{"users", "roles", "api_keys", "settings", "scim", "audit_logs"}

// Granted lists the permissions of a system role; nil for a name that is none.
// The owner has them all, an admin all but scim, an analyst works on alerts and
// playbooks, a member acknowledges and resolves, a viewer reads, and ingest only
// delivers findings.
func Granted(role string) []string {
	switch role {
	case Owner:
		return []string{"*"}
	case Admin:
		return filter(func(resource, _ string) bool { return resource != "scim" })
	case Analyst:
		return filter(func(resource, action string) bool {
			switch {
			case resource == "audit_logs":
				return action == "read"
			case slices.Contains(security, resource):
				return false
			case resource == "connectors" || resource == "webhooks" || resource == "alert_channels":
				return action == "read" || action == "update"
			}
			return true
		})
	case Member:
		return filter(func(resource, action string) bool {
			return !slices.Contains(security, resource) && (action == "read" || resource == "alerts" || resource == "incidents" && action == "update")
		})
	case Viewer:
		return filter(func(resource, action string) bool { return !slices.Contains(security, resource) && action == "read" })
	case Ingest:
		return []string{"findings:create", "alerts:create"}
	}
	return nil
}

func filter(keep func(resource, action string) bool) []string {
	var all []string
	for _, r := range actions {
		for _, a := range r.actions {
			if keep(r.resource, a) {
				all = append(all, r.resource+":"+a)
			}
		}
	}
	return all
}

// MayGrant reports whether p holds everything that the role would give: nobody
// grants what they do not hold.
func MayGrant(p hub.Principal, role string) bool {
	for _, perm := range Granted(role) {
		if !p.Can(perm) {
			return false
		}
	}
	return true
}
