package drivertest

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
	"github.com/tocsin/tocsin/internal/store"
)

// testSealedSecrets seals what was stored without a key, once.
func testSealedSecrets(t *testing.T, k Kit) {
	place := k.Place(t)
	e := &hub.Endpoint{
		ID: "whk_1", Tenant: tenant, Kind: hub.KindWebhook, Name: "siem", Events: []string{}, CreatedAt: when, UpdatedAt: when, Version: 1,
		Secrets: hub.EndpointSecrets{Tokens: map[string]string{"api_key": "hidden"}},
	}
	s := openStore(t, k.open(t, place))
	do(t, s, func(tx *store.Tx) error { return tx.PutEndpoint(e, store.OriginAPI) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	vault, err := secret.NewVault(secret.New(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, secret.KeySize))))
	if err != nil {
		t.Fatal(err)
	}
	s, err = store.Open(t.Context(), k.open(t, place), store.Options{Sealer: sealer{}, Vault: vault})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, want := range []int{1, 0} {
		do(t, s, func(tx *store.Tx) error {
			n, err := tx.SealSecrets()
			same(t, "sealed now", n, want)
			return err
		})
	}
	row := store.IdempotencyRow{Request: []byte("r"), Status: 201, Response: []byte("whsec_x"), At: when}
	do(t, s, func(tx *store.Tx) error { return tx.PutIdempotent(tenant, "k", row) })
	view(t, s, func(r *store.Reader) error {
		same(t, "endpoint", must[*hub.Endpoint](t)(r.Endpoint(tenant, e.ID)), e)
		same(t, "all endpoints", must[[]*hub.Endpoint](t)(r.Endpoints("")), []*hub.Endpoint{e})
		got, found, err := r.Idempotent(tenant, "k")
		same(t, "first answer", got, row)
		same(t, "is there", found, true)
		return err
	})
}
