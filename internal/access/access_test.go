package access

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
)

func principal(role string) hub.Principal {
	return hub.Principal{Tenant: "default", Type: hub.ActorKey, ID: "key_1", Permissions: Granted(role)}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		role, permission string
		may              bool
	}{
		{Owner, "scim:create", true},
		{Admin, "users:delete", true},
		{Admin, "scim:create", false},
		{Analyst, "alerts:update", true},
		{Analyst, "webhooks:update", true},
		{Analyst, "webhooks:create", false},
		{Analyst, "audit_logs:read", true},
		{Analyst, "audit_logs:export", false},
		{Analyst, "api_keys:read", false},
		{Member, "alerts:update", true},
		{Member, "playbooks:update", false},
		{Viewer, "alerts:read", true},
		{Viewer, "alerts:update", false},
		{Viewer, "audit_logs:read", false},
		{Ingest, "findings:create", true},
		{Ingest, "findings:read", false},
		{"nobody", "alerts:read", false},
	} {
		if got := principal(c.role).Can(c.permission); got != c.may {
			t.Errorf("%s may %s: %v, want %v", c.role, c.permission, got, c.may)
		}
	}
}

func TestNobodyGrantsWhatTheyDoNotHold(t *testing.T) {
	for i, holder := range Roles {
		for j, role := range Roles[:len(Roles)-1] {
			if holder == Ingest {
				continue
			}
			if got, want := MayGrant(principal(holder), role), j >= i; got != want {
				t.Errorf("%s may grant %s: %v, want %v", holder, role, got, want)
			}
		}
	}
}

func TestRolesGrantOnlyWhatExists(t *testing.T) {
	all := Permissions()
	for _, role := range Roles[1:] {
		for _, p := range Granted(role) {
			if !slices.Contains(all, p) {
				t.Errorf("%s is granted %s, which does not exist", role, p)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	text := NewKey()
	grant := Grant{Key: "key_1", Tenant: "default", Role: Viewer}
	lookups := 0
	k := NewKeys(func(_ context.Context, hash [32]byte) (Grant, bool, error) {
		lookups++
		return grant, hash == HashKey(text), nil
	}, time.Now)
	for range 3 {
		p, err := k.Authenticate(t.Context(), text)
		if err != nil || p.ID != "key_1" || !p.Can("alerts:read") || p.Can("alerts:update") {
			t.Fatalf("got %+v, %v", p, err)
		}
	}
	if lookups != 1 {
		t.Errorf("three requests took %d look-ups, want 1", lookups)
	}
	for _, bad := range []string{"", "Basic x", KeyPrefix, NewKey(), text + "x"} {
		if _, err := k.Authenticate(t.Context(), bad); hub.KindOf(err) != hub.Unauthorized {
			t.Errorf("%q: got %v, want unauthorized", bad, err)
		}
	}
	grant.ExpiresAt = time.Now().Add(-time.Second)
	k.Forget()
	if _, err := k.Authenticate(t.Context(), text); hub.KindOf(err) != hub.Unauthorized {
		t.Errorf("an expired key: got %v, want unauthorized", err)
	}
	grant.ExpiresAt, grant.Revoked = time.Time{}, true
	k.Forget()
	if _, err := k.Authenticate(t.Context(), text); hub.KindOf(err) != hub.Unauthorized {
		t.Errorf("a revoked key: got %v, want unauthorized", err)
	}
}

// A key that is revoked while it is looked up is not remembered as it was.
func TestRevokedWhileLookedUp(t *testing.T) {
	text, grant := NewKey(), Grant{Key: "key_1", Tenant: "default", Role: Owner}
	var k *Keys
	k = NewKeys(func(context.Context, [32]byte) (Grant, bool, error) {
		was := grant
		if !grant.Revoked {
			grant.Revoked = true
			k.Forget()
		}
		return was, true, nil
	}, time.Now)
	if _, err := k.Authenticate(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Authenticate(t.Context(), text); hub.KindOf(err) != hub.Unauthorized {
		t.Errorf("after the revocation got %v, want unauthorized", err)
	}
}

func TestPasswords(t *testing.T) {
	hash := HashPassword("correct horse")
	if !CheckPassword(hash, "correct horse") {
		t.Error("the right password is refused")
	}
	for _, c := range [][2]string{{hash, "wrong"}, {hash, ""}, {"", ""}, {"$argon2id$v=19$m=1,t=1,p=1$$", ""}, {"plain", "plain"}} {
		if CheckPassword(c[0], c[1]) {
			t.Errorf("%q is taken for %q", c[1], c[0])
		}
	}
}
