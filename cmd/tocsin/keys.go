package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
)

type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List API keys."`
	Create keysCreateCmd `cmd:"" help:"Make an API key; its text is shown once."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke API keys at once."`
}

// Help gives an example.
func (keysCmd) Help() string {
	return `Examples:
  tocsin keys create scanner --role ingest
  tocsin keys revoke key_01J0`
}

// A key is how the API shows an API key.
type key struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	RevokedAt time.Time `json:"revoked_at"`
	Text      string    `json:"key"` // shown once, at creation
}

type keysListCmd struct{ apiFlags }

// Help gives an example.
func (keysListCmd) Help() string {
	return `Example:
  tocsin keys list`
}

// Run lists keys.
func (c *keysListCmd) Run(ctx context.Context, p *program) error {
	header := []string{"ID", "NAME", "ROLE", "CREATED", "EXPIRES", "REVOKED"}
	return list(ctx, p, &c.apiFlags, "/api-keys", filters(), pageFlags{All: true, Limit: maxPage}, header, func(k *key) []string {
		return []string{k.ID, k.Name, k.Role, clock(k.CreatedAt), clock(k.ExpiresAt), clock(k.RevokedAt)}
	})
}

type keysCreateCmd struct {
	apiFlags
	Name    string `arg:"" help:"Name, for people."`
	Role    string `required:"" enum:"owner,admin,analyst,member,viewer,ingest" placeholder:"ROLE" help:"One of ${enum}."`
	Expires string `placeholder:"TIME" help:"When it ends, such as 2030-01-01T00:00:00Z, or after how long, such as 720h; never if not given."`
}

// Help gives an example.
func (keysCreateCmd) Help() string {
	return `Example:
  tocsin keys create scanner --role ingest --expires 720h`
}

// Run makes a key.
func (c *keysCreateCmd) Run(ctx context.Context, p *program) error {
	body := map[string]string{"name": c.Name, "role": c.Role}
	if c.Expires != "" {
		body["expires_at"] = c.Expires
		if d, err := time.ParseDuration(c.Expires); err == nil {
			body["expires_at"] = time.Now().Add(d).UTC().Format(time.RFC3339)
		}
	}
	answer, err := c.ask(ctx, p, http.MethodPost, "/api-keys", body)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.raw(answer)
	}
	var k key
	if err := json.Unmarshal(answer, &k); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s %s (%s)\nkey (shown this once): %s\n", k.ID, plain(k.Name, maxCell), k.Role, k.Text)
	return err
}

type keysRevokeCmd struct {
	apiFlags
	IDs []string `arg:"" name:"id" help:"Ids of keys."`
}

// Help gives an example.
func (keysRevokeCmd) Help() string {
	return `Example:
  tocsin keys revoke key_01J0`
}

// Run revokes keys.
func (c *keysRevokeCmd) Run(ctx context.Context, p *program) error {
	return c.each(ctx, p, c.IDs, http.MethodDelete, "/api-keys/%s", nil, nil)
}
