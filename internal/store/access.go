package store

import (
	"fmt"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A KeyRow is an API key as it is stored: its hash, never the key.
type KeyRow struct {
	ID        hub.KeyID
	Tenant    hub.TenantID
	Hash      []byte // SHA-256 of the key's text
	Name      string
	Role      string
	User      hub.UserID
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: live
}

// PutKey stores an API key, new or changed.
func (tx *Tx) PutKey(k *KeyRow) error {
	tx.NoteChange()
	return tx.send(`INSERT INTO api_keys (id, tenant, hash, name, role, user_id, created_at, expires_at, revoked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role, expires_at = excluded.expires_at, revoked_at = excluded.revoked_at`,
		string(k.ID), string(k.Tenant), k.Hash, k.Name, k.Role, string(k.User), hub.Micros(k.CreatedAt), hub.Micros(k.ExpiresAt), hub.Micros(k.RevokedAt))
}

const keyColumns = "id, tenant, hash, name, role, user_id, created_at, expires_at, revoked_at"

func keyRow(v []any) KeyRow {
	return KeyRow{
		ID: hub.KeyID(v[0].(string)), Tenant: hub.TenantID(v[1].(string)), Hash: bytesOf(v[2]), Name: v[3].(string), Role: v[4].(string),
		User: hub.UserID(v[5].(string)), CreatedAt: hub.FromMicros(v[6].(int64)), ExpiresAt: hub.FromMicros(v[7].(int64)), RevokedAt: hub.FromMicros(v[8].(int64)),
	}
}

// KeyByHash gives the API key with the hash and whether there is one. It is the
// one query that does not say which tenant: the key tells it.
func (r *Reader) KeyByHash(hash []byte) (KeyRow, bool, error) {
	var k KeyRow
	found, err := r.one("SELECT "+keyColumns+" FROM api_keys WHERE hash = $1", []any{hash}, func(v []any) error {
		k = keyRow(v)
		return nil
	})
	return k, found, err
}

// Keys gives the API keys of a tenant.
func (r *Reader) Keys(tenant hub.TenantID) ([]KeyRow, error) {
	var all []KeyRow
	err := r.q.Query("SELECT "+keyColumns+" FROM api_keys WHERE tenant = $1 ORDER BY id", []any{string(tenant)}, func(v []any) error {
		all = append(all, keyRow(v))
		return nil
	})
	return all, err
}

// A UserRow is a person as stored.
type UserRow struct {
	ID        hub.UserID
	Tenant    hub.TenantID
	Email     string
	Password  string // argon2id in PHC form
	Role      string
	CreatedAt time.Time
	Active    bool
}

// AddUser stores a new user.
func (tx *Tx) AddUser(u *UserRow) error {
	return tx.send("INSERT INTO users (id, tenant, email, password, role, created_at, active) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		string(u.ID), string(u.Tenant), u.Email, u.Password, u.Role, hub.Micros(u.CreatedAt), u.Active)
}

// CountUsers counts the users of a tenant.
func (r *Reader) CountUsers(tenant hub.TenantID) (int64, error) {
	var n int64
	_, err := r.one("SELECT count(*) FROM users WHERE tenant = $1", []any{string(tenant)}, func(v []any) error {
		n = v[0].(int64)
		return nil
	})
	return n, err
}

// An IdempotencyRow is the first answer to a request with an Idempotency-Key.
type IdempotencyRow struct {
	Request  []byte // SHA-256 of what was asked
	Status   int
	Response []byte
	At       time.Time
}

// Idempotent gives the first answer to a key and whether there was one.
func (r *Reader) Idempotent(tenant hub.TenantID, key string) (IdempotencyRow, bool, error) {
	var row IdempotencyRow
	found, err := r.one("SELECT request, status, response, at FROM idempotency WHERE tenant = $1 AND key = $2", []any{string(tenant), key}, func(v []any) error {
		answer, err := r.vault.Open(bytesOf(v[2]), aboutAnswer(tenant, key))
		if err != nil {
			return fmt.Errorf("the first answer to this Idempotency-Key cannot be read: %w", err)
		}
		row = IdempotencyRow{bytesOf(v[0]), int(v[1].(int64)), answer, hub.FromMicros(v[3].(int64))}
		return nil
	})
	return row, found, err
}

// PutIdempotent remembers the first answer to a key, in the transaction of what
// it answers.
func (tx *Tx) PutIdempotent(tenant hub.TenantID, key string, row IdempotencyRow) error {
	return tx.send(`INSERT INTO idempotency (tenant, key, request, status, response, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (tenant, key) DO UPDATE SET request = excluded.request, status = excluded.status, response = excluded.response, at = excluded.at`,
		string(tenant), key, row.Request, int64(row.Status), tx.vault.Seal(row.Response, aboutAnswer(tenant, key)), hub.Micros(row.At))
}

func aboutAnswer(t hub.TenantID, key string) string { return "answer/" + string(t) + "/" + key }

// ForgetIdempotent removes the oldest answers of those before a time, about limit
// of them, and tells how many there were.
func (tx *Tx) ForgetIdempotent(before time.Time, limit int) (int64, error) {
	return tx.Exec(`DELETE FROM idempotency WHERE at < $1 AND at <= (SELECT max(at) FROM
		(SELECT at FROM idempotency WHERE at < $1 ORDER BY at LIMIT $2) AS part)`, hub.Micros(before), int64(limit))
}

// Meta gives a setting of the database itself; "" if it is not there.
func (r *Reader) Meta(name string) (string, error) {
	var value string
	_, err := r.one("SELECT value FROM meta WHERE name = $1", []any{name}, func(v []any) error {
		value = v[0].(string)
		return nil
	})
	return value, err
}

// PutMeta stores a setting of the database itself.
func (tx *Tx) PutMeta(name, value string) error {
	return tx.send("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}
