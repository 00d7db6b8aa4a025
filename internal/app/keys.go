package app

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/access"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/store"
)

// keys tells who calls, and makes and revokes API keys.
type keys struct {
	auth *access.Keys
	st   *store.Store
}

var _ api.Access = (*keys)(nil)

func newKeys(st *store.Store) *keys {
	k := &keys{st: st}
	k.auth = access.NewKeys(k.lookup, st.Now)
	return k
}

func (k *keys) lookup(ctx context.Context, hash [32]byte) (g access.Grant, found bool, err error) {
	err = k.st.View(ctx, func(r *store.Reader) error {
		var row store.KeyRow
		row, found, err = r.KeyByHash(hash[:])
		g = access.Grant{Key: row.ID, Tenant: row.Tenant, Role: row.Role, ExpiresAt: row.ExpiresAt, Revoked: !row.RevokedAt.IsZero()}
		return err
	})
	return g, found, err
}

// CreateKey makes an API key with a role that p may grant.
func (k *keys) CreateKey(ctx context.Context, p hub.Principal, spec api.KeySpec) (api.Key, string, error) {
	if !p.Can("api_keys:create") {
		return api.Key{}, "", hub.E(hub.Forbidden, "this needs the permission api_keys:create")
	}
	if !access.MayGrant(p, spec.Role) {
		return api.Key{}, "", hub.E(hub.Forbidden, fmt.Sprintf("the role %s grants more than you hold yourself", spec.Role))
	}
	text := access.NewKey()
	row := newKeyRow(p.Tenant, spec.Name, spec.Role, text)
	row.ExpiresAt = spec.ExpiresAt
	err := k.st.Do(ctx, func(tx *store.Tx) error {
		e := hub.Audited(p, "api_key.create", "api_key", string(row.ID))
		e.Details = new(hub.Details).Str("name", spec.Name).Str("role", spec.Role).Value()
		tx.Audit(e)
		return tx.PutKey(&row)
	})
	return keyView(row), text, err
}

func newKeyRow(t hub.TenantID, name, role, text string) store.KeyRow {
	hash := access.HashKey(text)
	return store.KeyRow{
		ID: hub.KeyID(ident.New(hub.PrefixKey)), Tenant: t, Hash: hash[:], Name: name, Role: role, CreatedAt: hub.Truncate(time.Now()),
	}
}

func keyView(r store.KeyRow) api.Key {
	return api.Key{ID: r.ID, Name: r.Name, Role: r.Role, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt}
}

// Keys lists the API keys of a tenant.
func (k *keys) Keys(ctx context.Context, t hub.TenantID) ([]api.Key, error) {
	all := []api.Key{}
	err := k.st.View(ctx, func(r *store.Reader) error {
		rows, err := r.Keys(t)
		for _, row := range rows {
			all = append(all, keyView(row))
		}
		return err
	})
	return all, err
}

// RevokeKey ends an API key at once.
func (k *keys) RevokeKey(ctx context.Context, p hub.Principal, id hub.KeyID) error {
	if !p.Can("api_keys:delete") {
		return hub.E(hub.Forbidden, "this needs the permission api_keys:delete")
	}
	return k.st.Do(ctx, func(tx *store.Tx) error {
		rows, err := tx.Keys(p.Tenant)
		if err != nil {
			return err
		}
		for i := range rows {
			if rows[i].ID != id {
				continue
			}
			if rows[i].RevokedAt.IsZero() {
				rows[i].RevokedAt = hub.Truncate(tx.Now())
			}
			tx.Audit(hub.Audited(p, "api_key.revoke", "api_key", string(id)))
			tx.AfterCommit(k.auth.Forget)
			return tx.PutKey(&rows[i])
		}
		return hub.E(hub.NotFound, fmt.Sprintf("there is no API key %q", id))
	})
}

// Authenticate gives the principal of an API key.
func (k *keys) Authenticate(ctx context.Context, text string) (hub.Principal, error) {
	return k.auth.Authenticate(ctx, text)
}
