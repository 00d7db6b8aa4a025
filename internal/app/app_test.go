package app

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"go.uber.org/goleak"
)

const testKey = "toc_live_0123456789abcdef"

// A running is a hub on a free port.
type running struct {
	*App
	t   *testing.T
	out bytes.Buffer
}

func load(t *testing.T, dir, yaml string, env ...string) *configs.Config {
	t.Helper()
	path := ""
	if yaml != "" {
		path = filepath.Join(t.TempDir(), "tocsin.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := configs.Load(path, append(env, "TOCSIN_STORE_DIR="+dir, "TOCSIN_SERVER_LISTEN=127.0.0.1:0", "TOCSIN_RELAY_ALLOW_NETWORKS=127.0.0.0/8"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func start(t *testing.T, cfg *configs.Config, env map[string]string) *running {
	t.Helper()
	r := &running{t: t}
	a, err := New(t.Context(), Options{Config: cfg, Version: "test", Log: slog.New(slog.DiscardHandler), Env: func(n string) string { return env[n] }, Out: &r.out})
	if err != nil {
		t.Fatal(err)
	}
	r.App = a
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

func (r *running) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		r.t.Error(err)
	}
}

func (r *running) do(method, path, key, body string, header ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.Addr()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

var withKey = map[string]string{"TOCSIN_API_KEY": testKey, "TOCSIN_ADMIN_PASSWORD": "long enough"}

func TestFirstStartMakesCredentialsOnce(t *testing.T) {
	dir := t.TempDir()
	r := start(t, load(t, dir, ""), nil)
	path := filepath.Join(dir, CredentialsFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file of credentials: %v, %v; want mode 0600", info, err)
	}
	var c Credentials
	if b, err := os.ReadFile(path); err != nil || json.Unmarshal(b, &c) != nil {
		t.Fatalf("%s, %v", b, err)
	}
	if !strings.Contains(r.out.String(), c.APIKey) || !strings.Contains(r.out.String(), c.Password) {
		t.Errorf("the first start said %q", r.out.String())
	}
	if status, body := r.do("GET", "/api/v1/alerts", c.APIKey, ""); status != 200 {
		t.Errorf("the key is answered %d %s", status, body)
	}
	r.stop()
	r = start(t, load(t, dir, ""), nil)
	if r.out.Len() > 0 {
		t.Errorf("the second start said %q", r.out.String())
	}
	if status, _ := r.do("GET", "/api/v1/alerts", c.APIKey, ""); status != 200 {
		t.Errorf("after a restart the key is answered %d", status)
	}
}

func TestCredentialsFromTheEnvironmentAreNotWritten(t *testing.T) {
	dir := t.TempDir()
	r := start(t, load(t, dir, ""), withKey)
	if _, err := os.Stat(filepath.Join(dir, CredentialsFile)); !os.IsNotExist(err) || r.out.Len() > 0 {
		t.Errorf("the start wrote %v and said %q", err, r.out.String())
	}
}

// The same key and body give the first answer again, over a restart too; another
// body is a conflict.
func TestIdempotencyKey(t *testing.T) {
	dir := t.TempDir()
	const body = `{"type":"xss","asset_id":"web-1","severity":"high"}`
	r := start(t, load(t, dir, ""), withKey)
	status, first := r.do("POST", "/api/v1/findings", testKey, body, "Idempotency-Key", "k1")
	if status != 202 {
		t.Fatalf("%d %s", status, first)
	}
	r.stop()
	r = start(t, load(t, dir, ""), nil)
	if status, again := r.do("POST", "/api/v1/findings", testKey, body, "Idempotency-Key", "k1"); status != 202 || again != first {
		t.Errorf("the repeat is answered %d %s, want %s", status, again, first)
	}
	if status, answer := r.do("POST", "/api/v1/findings", testKey, strings.Replace(body, "web-1", "web-2", 1), "Idempotency-Key", "k1"); status != 409 {
		t.Errorf("another body is answered %d %s, want 409", status, answer)
	}
	status, hook := r.do("POST", "/api/v1/webhooks", testKey, `{"url":"http://127.0.0.1:9/x"}`, "Idempotency-Key", "k2")
	if again, body := r.do("POST", "/api/v1/webhooks", testKey, `{"url":"http://127.0.0.1:9/x"}`, "Idempotency-Key", "k2"); status != 201 || again != 201 || body != hook {
		t.Errorf("the repeat of %d %s is answered %d %s", status, hook, again, body)
	}
}

// Endpoints of the config file follow it; one that is taken out is switched off,
// so that what is on its way to it is held.
func TestEndpointsFollowTheConfigFile(t *testing.T) {
	dir := t.TempDir()
	const one = "endpoints:\n- {name: soar, kind: webhook, url: 'http://127.0.0.1:9/a', secret: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=, events: [alert.*]}\n"
	read := func(r *running) *hub.Endpoint {
		var all []*hub.Endpoint
		err := r.st.View(t.Context(), func(rd *store.Reader) (err error) {
			all, err = rd.Endpoints(hub.DefaultTenant)
			return err
		})
		if err != nil || len(all) != 1 {
			t.Fatalf("%d endpoints, %v", len(all), err)
		}
		return all[0]
	}
	r := start(t, load(t, dir, one), withKey)
	first := read(r)
	r.stop()
	r = start(t, load(t, dir, one), nil)
	if e := read(r); e.ID != first.ID || e.Version != 1 {
		t.Errorf("an unchanged file made version %d of %s", e.Version, e.ID)
	}
	r.stop()
	r = start(t, load(t, dir, strings.Replace(one, "/a", "/b", 1)), nil)
	if e := read(r); e.ID != first.ID || e.Version != 2 || !strings.HasSuffix(e.URL, "/b") {
		t.Errorf("a changed file made %+v", e)
	}
	r.stop()
	r = start(t, load(t, dir, ""), nil)
	if e := read(r); e.Enabled || e.Disabled != goneFromConfig {
		t.Errorf("without the file it is %+v", e)
	}
	r.stop()
	r = start(t, load(t, dir, one), nil)
	if e := read(r); !e.Enabled || e.ID != first.ID {
		t.Errorf("with the file again it is %+v", e)
	}
}

// A database that is older than the checkpoints kept outside it is refused.
func TestAnOlderDatabaseIsRefused(t *testing.T) {
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup.db")
	r := start(t, load(t, dir, ""), withKey)
	if err := r.st.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if status, body := r.do("POST", "/api/v1/findings", testKey, `{"type":"xss","asset_id":"web-1","severity":"high"}`); status != 202 {
		t.Fatalf("%d %s", status, body)
	}
	r.stop()
	old, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	cfg := load(t, dir, "")
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(cfg.Store.File() + suffix)
	}
	if err := os.WriteFile(cfg.Store.File(), old, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = New(t.Context(), Options{Config: cfg, Log: slog.New(slog.DiscardHandler), Env: func(string) string { return "" }, Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "older copy of the database") {
		t.Errorf("an older database is answered %v", err)
	}
}

// A start that fails half way leaves nothing behind.
func TestAFailedStartStops(t *testing.T) {
	// The HTTP library looks after idle workers for up to ten seconds more.
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
	cfg := load(t, t.TempDir(), "")
	r := start(t, cfg, withKey)
	taken := load(t, t.TempDir(), "")
	taken.Server.Listen = r.Addr()
	a, err := New(t.Context(), Options{Config: taken, Log: slog.New(slog.DiscardHandler), Env: func(n string) string { return withKey[n] }, Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("a taken address is answered %v", err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	r.stop()
}
