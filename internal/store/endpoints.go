package store

import (
	"fmt"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store/driver"
)

// Origins of an endpoint: made over the API, or written in the config file.
const (
	OriginAPI    = "api"
	OriginConfig = "config"
)

// Endpoints gives every endpoint of a tenant with its secrets; of every tenant
// if tenant is empty, for the relay.
func (r *Reader) Endpoints(tenant hub.TenantID) ([]*hub.Endpoint, error) {
	text, args := "SELECT doc, secrets FROM endpoints ORDER BY id", []any(nil)
	if tenant != "" {
		text, args = "SELECT doc, secrets FROM endpoints WHERE tenant = $1 ORDER BY id", []any{string(tenant)}
	}
	var all []*hub.Endpoint
	err := r.q.Query(text, args, func(v []any) error {
		e := new(hub.Endpoint)
		all = append(all, e)
		return r.openEndpoint(v, e)
	})
	return all, err
}

// Endpoint gives one endpoint with its secrets.
func (r *Reader) Endpoint(tenant hub.TenantID, id hub.EndpointID) (*hub.Endpoint, error) {
	e := new(hub.Endpoint)
	found, err := r.one("SELECT doc, secrets FROM endpoints WHERE tenant = $1 AND id = $2", []any{string(tenant), string(id)}, func(v []any) error { return r.openEndpoint(v, e) })
	if err == nil && !found {
		return nil, notFound("endpoint", id)
	}
	return e, err
}

// openEndpoint reads the columns doc and secrets.
func (r *Reader) openEndpoint(v []any, e *hub.Endpoint) error {
	if err := decode(bytesOf(v[0]), e); err != nil {
		return err
	}
	secrets, err := r.vault.Open(bytesOf(v[1]), aboutEndpoint(e.Tenant, e.ID))
	if err != nil {
		return fmt.Errorf("the secrets of the endpoint %s cannot be read: %w; look at store.secret_keys", e.ID, err)
	}
	return decode(secrets, &e.Secrets)
}

// aboutEndpoint is what sealed secrets are bound to, so that they cannot be moved
// to another endpoint.
func aboutEndpoint(t hub.TenantID, id hub.EndpointID) string {
	return "endpoint/" + string(t) + "/" + string(id)
}

// SealSecrets stores the secrets of all endpoints as the vault would store them
// now, and tells how many were stored otherwise.
func (tx *Tx) SealSecrets() (n int, err error) {
	type row struct {
		tenant, id string
		secrets    []byte
	}
	var stale []row
	err = tx.q.Query("SELECT tenant, id, secrets FROM endpoints ORDER BY id", nil, func(v []any) error {
		x := row{v[0].(string), v[1].(string), bytesOf(v[2])}
		if tx.vault.Current(x.secrets) {
			return nil
		}
		about := aboutEndpoint(hub.TenantID(x.tenant), hub.EndpointID(x.id))
		text, err := tx.vault.Open(x.secrets, about)
		if err != nil {
			return fmt.Errorf("the secrets of the endpoint %s cannot be read: %w; look at store.secret_keys", x.id, err)
		}
		x.secrets = tx.vault.Seal(text, about)
		stale = append(stale, x)
		return nil
	})
	for _, x := range stale {
		if err == nil {
			_, err = tx.Exec("UPDATE endpoints SET secrets = $1 WHERE tenant = $2 AND id = $3", x.secrets, x.tenant, x.id)
		}
	}
	return len(stale), err
}

// PutEndpoint stores an endpoint, new or changed.
func (tx *Tx) PutEndpoint(e *hub.Endpoint, origin string) error {
	tx.NoteChange()
	_, err := tx.Exec(`INSERT INTO endpoints (id, tenant, kind, name, origin, version, doc, secrets) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name, version = excluded.version, doc = excluded.doc, secrets = excluded.secrets`,
		string(e.ID), string(e.Tenant), e.Kind, e.Name, origin, e.Version, encode(e), tx.vault.Seal(encode(e.Secrets), aboutEndpoint(e.Tenant, e.ID)))
	if driver.KindOf(err) == driver.Unique {
		return hub.E(hub.Conflict, fmt.Sprintf("there is an endpoint named %q already; choose another name", e.Name))
	}
	return err
}

// DeleteEndpoint removes an endpoint; its deliveries stay as evidence.
func (tx *Tx) DeleteEndpoint(tenant hub.TenantID, id hub.EndpointID) error {
	tx.NoteChange()
	n, err := tx.Exec("DELETE FROM endpoints WHERE tenant = $1 AND id = $2", string(tenant), string(id))
	if err == nil && n == 0 {
		err = notFound("endpoint", id)
	}
	return err
}

// EndpointOrigins gives the origin of each endpoint of a tenant.
func (r *Reader) EndpointOrigins(tenant hub.TenantID) (map[hub.EndpointID]string, error) {
	origins := map[hub.EndpointID]string{}
	err := r.q.Query("SELECT id, origin FROM endpoints WHERE tenant = $1", []any{string(tenant)}, func(v []any) error {
		origins[hub.EndpointID(v[0].(string))] = v[1].(string)
		return nil
	})
	return origins, err
}
