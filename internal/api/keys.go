package api

import (
	"context"

	"github.com/tocsin/tocsin/hub"
)

type keyView struct {
	Key
	Secret string `json:"key,omitempty"` // shown once, at creation
}

func (s *Server) keyRoutes() {
	const tag = "api-keys"
	register(s, operation{method: "GET", path: "/api-keys", permission: "api_keys:read", summary: "List API keys", tag: tag},
		func(ctx context.Context, p hub.Principal, _ *struct{}) (*listOutput[Key], error) {
			keys, err := s.deps.Access.Keys(ctx, p.Tenant)
			return listOf(List[Key]{Data: keys}, err)
		})
	register(s, operation{method: "POST", path: "/api-keys", permission: "api_keys:create", summary: "Make an API key; its text is shown once", status: 201, tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			Body struct {
				Name      string `json:"name" minLength:"1" maxLength:"200"`
				Role      string `json:"role" enum:"owner,admin,analyst,member,viewer,ingest"`
				ExpiresAt string `json:"expires_at,omitempty"`
			}
		},
		) (*struct{ Body keyView }, error) {
			expires, err := parseTime("expires_at", in.Body.ExpiresAt)
			if err != nil {
				return nil, err
			}
			k, text, err := s.deps.Access.CreateKey(ctx, p, KeySpec{in.Body.Name, in.Body.Role, expires})
			return &struct{ Body keyView }{keyView{k, text}}, err
		})
	register(s, operation{method: "DELETE", path: "/api-keys/{id}", permission: "api_keys:delete", summary: "Revoke an API key", status: 204, tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			return &struct{}{}, s.deps.Access.RevokeKey(ctx, p, hub.KeyID(in.ID))
		})
}
