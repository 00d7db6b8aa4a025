package app

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func vaultKey(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

// found reports whether a text stands in any file of a folder.
func found(t *testing.T, dir, text string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no database in %s: %v", dir, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(text)) {
			return true
		}
	}
	return false
}

// Secrets are in the database as long as no key is given, and readable with the
// keys that were, whichever of them sealed.
func TestSecretsAreSealed(t *testing.T) {
	dir := t.TempDir()
	with := func(keys ...string) string {
		return quick + "store: {secret_keys: [" + strings.Join(keys, ", ") + "]}\n"
	}
	f := newFar(t, nil)
	n := 0
	sends := func(r *running) { // with what is stored
		n++
		r.findings(fmt.Sprint("s", n), 1)
		f.eventually(t, "it is signed and taken", func() bool { return len(f.taken()) == n })
	}
	r := start(t, load(t, dir, with()), withKey)
	plain := call[struct {
		ID, Secret string
	}](r, "POST", "/api/v1/webhooks", `{"url":"`+f.URL+`","events":["alert.created"]}`, 201)
	sends(r)
	r.stop()
	if !found(t, dir, plain.Secret) {
		t.Fatal("without a key the secret is not in the database, so this test would find nothing")
	}
	r = start(t, load(t, dir, with(vaultKey(1))), nil)
	sends(r)
	status, answer := r.do("POST", "/api/v1/webhooks", testKey, `{"url":"http://127.0.0.1:9/","events":["alert.created"],"enabled":false}`, "Idempotency-Key", "k1")
	if status != 201 {
		t.Fatalf("a webhook is answered %d %s", status, answer)
	}
	r.stop()
	sealed := answer[strings.Index(answer, "whsec_"):][:38]
	if found(t, dir, sealed) {
		t.Error("a secret that was made with a key stands in the database, or in the first answer")
	}
	for _, keys := range [][]string{{vaultKey(2), vaultKey(1)}, {vaultKey(2)}} {
		r = start(t, load(t, dir, with(keys...)), nil)
		sends(r)
		if len(keys) == 2 {
			if _, again := r.do("POST", "/api/v1/webhooks", testKey, `{"url":"http://127.0.0.1:9/","events":["alert.created"],"enabled":false}`, "Idempotency-Key", "k1"); again != answer {
				t.Errorf("asked again it answers %s, first it was %s", again, answer)
			}
		}
		r.stop()
	}
	for _, wrong := range []string{with(), with(vaultKey(3))} {
		_, err := New(t.Context(), Options{Config: load(t, dir, wrong), Log: slog.New(slog.DiscardHandler), Env: func(string) string { return "" }, Out: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "store.secret_keys") {
			t.Errorf("without the key it starts with %v", err)
		}
	}
}
