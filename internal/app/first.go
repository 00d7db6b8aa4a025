package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/access"
	"github.com/tocsin/tocsin/internal/durable"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/store"
)

// CredentialsFile is the name of the file in the data directory that holds what
// the first start made.
const CredentialsFile = "initial-credentials"

// Credentials are what the first owner signs in with.
type Credentials struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	APIKey   string `json:"api_key"`
}

// firstStart makes the owner and an API key if there is nobody yet. What the
// environment does not set is made up, told once on out and kept in a file that
// only its owner can read. The file is written first: a crash in between leaves
// credentials that the next start takes up again.
func firstStart(ctx context.Context, st *store.Store, dir string, env func(string) string, out io.Writer) error {
	var users int64
	err := st.View(ctx, func(r *store.Reader) (err error) {
		users, err = r.CountUsers(hub.DefaultTenant)
		return err
	})
	if err != nil || users > 0 {
		return err
	}
	c, made, err := firstCredentials(dir, env)
	if err != nil {
		return err
	}
	hash := access.HashPassword(c.Password)
	if err := st.Do(ctx, func(tx *store.Tx) error { return addOwner(tx, c, hash) }); err != nil {
		return err
	}
	if made {
		fmt.Fprintf(out, "first start: owner %s, password %s, API key %s\n(kept in %s; change the password, then remove the file)\n",
			c.Email, c.Password, c.APIKey, filepath.Join(dir, CredentialsFile))
	}
	return nil
}

// firstCredentials gives those of the environment, completed by those of an
// interrupted first start or by new ones.
func firstCredentials(dir string, env func(string) string) (c Credentials, made bool, err error) {
	path := filepath.Join(dir, CredentialsFile)
	if b, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(b, &c); err != nil {
			return c, false, fmt.Errorf("%s cannot be read (%w); remove it and start again", path, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return c, false, err
	}
	fill(&c.Email, env("TOCSIN_ADMIN_EMAIL"), func() string { return "owner@localhost" })
	fill(&c.Password, env("TOCSIN_ADMIN_PASSWORD"), access.NewPassword)
	fill(&c.APIKey, env("TOCSIN_API_KEY"), access.NewKey)
	if err := checkCredentials(c); err != nil {
		return c, false, err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return c, false, err
	}
	made = env("TOCSIN_ADMIN_PASSWORD") == "" || env("TOCSIN_API_KEY") == ""
	if !made {
		return c, false, nil // nothing that the operator does not know already
	}
	return c, true, durable.WriteFile(path, append(b, '\n'), 0o600)
}

// fill puts the environment's value before one of an earlier try, and that
// before a new one.
func fill(to *string, env string, fresh func() string) {
	if env != "" {
		*to = env
	}
	if *to == "" {
		*to = fresh()
	}
}

func checkCredentials(c Credentials) error {
	switch {
	case !strings.Contains(c.Email, "@"):
		return fmt.Errorf("TOCSIN_ADMIN_EMAIL is %q; give an e-mail address", c.Email)
	case len(c.Password) < access.MinPassword:
		return fmt.Errorf("TOCSIN_ADMIN_PASSWORD is shorter than %d characters; give a longer one, or none to have one made", access.MinPassword)
	case len(c.APIKey) < access.MinKey || strings.ContainsAny(c.APIKey, " \t\r\n"):
		return fmt.Errorf("TOCSIN_API_KEY must have at least %d characters and no spaces; give none to have one made", access.MinKey)
	}
	return nil
}

func addOwner(tx *store.Tx, c Credentials, hash string) error {
	u := store.UserRow{
		ID: hub.UserID(ident.New(hub.PrefixUser)), Tenant: hub.DefaultTenant, Email: c.Email, Password: hash,
		Role: access.Owner, CreatedAt: hub.Truncate(time.Now()), Active: true,
	}
	k := newKeyRow(hub.DefaultTenant, "first key", access.Owner, c.APIKey)
	k.User = u.ID
	if err := tx.AddUser(&u); err != nil {
		return err
	}
	system := hub.System(hub.DefaultTenant)
	tx.Audit(hub.Audited(system, "tenant.create", "tenant", string(hub.DefaultTenant)))
	e := hub.Audited(system, "user.create", "user", string(u.ID))
	e.Details = new(hub.Details).Str("role", u.Role).Value()
	tx.Audit(e)
	e = hub.Audited(system, "api_key.create", "api_key", string(k.ID))
	e.Details = new(hub.Details).Str("name", k.Name).Str("role", k.Role).Value()
	tx.Audit(e)
	return tx.PutKey(&k)
}
