package demo

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/configs/playbooks"
	"github.com/tocsin/tocsin/internal/app"
)

// Config is the configuration file that the demo's hub runs with.
//
//go:embed demo.yaml
var Config []byte

// A runningHub is the real hub with a client of its API.
type runningHub struct {
	app    *app.App
	url    string
	key    string
	client *client
}

// openHub writes the configuration and the playbooks into dir and starts a hub
// by them.
func openHub(ctx context.Context, dir string, far *farSides, o Options) (*runningHub, error) {
	if err := writeFiles(dir); err != nil {
		return nil, fmt.Errorf("write the demo's files: %w", err)
	}
	listen, err := address(o.Listen)
	if err != nil {
		return nil, err
	}
	environ := append(far.environ(), "DEMO_LISTEN="+listen, "DEMO_DATA="+filepath.Join(dir, "data"))
	cfg, err := configs.Load(filepath.Join(dir, "tocsin.yaml"), environ)
	if err != nil {
		return nil, fmt.Errorf("the demo's own configuration: %w", err)
	}
	h := &runningHub{key: newToken("toc_live_")}
	first := map[string]string{
		"TOCSIN_API_KEY": h.key, "TOCSIN_ADMIN_EMAIL": "demo@localhost", "TOCSIN_ADMIN_PASSWORD": newToken(""),
	}
	h.app, err = app.New(ctx, app.Options{
		Config: cfg, Version: o.Version, Log: app.NewLogger(o.Err, &cfg.Log), Out: o.Err,
		Env: func(name string) string { return first[name] },
	})
	if err != nil {
		return nil, err
	}
	if err := h.app.Start(ctx); err != nil {
		return nil, fmt.Errorf("%w (%v)", err, h.close(ctx))
	}
	h.url = "http://" + h.app.Addr()
	h.client = newClient(h.url, h.key)
	far.subscribe(h.url)
	return h, nil
}

// address gives where the hub is to listen: a free port unless told otherwise.
// It is needed before the hub listens, because events name it.
func address(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func writeFiles(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "tocsin.yaml"), Config, 0o600); err != nil {
		return err
	}
	return copyPlaybooks(filepath.Join(dir, "playbooks"))
}

// ownRetry is a playbook step's own schedule of retries. Some wait minutes, and
// the demo wants to end soon, so there all steps keep to relay.schedule.
var ownRetry = regexp.MustCompile(`(?m)^ +retry: .*\n`)

func copyPlaybooks(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	files, err := fs.Glob(playbooks.Files, "*.yaml")
	for i := 0; i < len(files) && err == nil; i++ {
		var text []byte
		if text, err = playbooks.Files.ReadFile(files[i]); err == nil && !strings.HasSuffix(files[i], ".test.yaml") {
			err = os.WriteFile(filepath.Join(dir, files[i]), ownRetry.ReplaceAll(text, nil), 0o600)
		}
	}
	return err
}

// close stops the hub; it can be called on one that started half.
func (h *runningHub) close(ctx context.Context) error {
	if h.client != nil {
		h.client.http.CloseIdleConnections()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return h.app.Stop(ctx)
}

// newToken makes a credential that nobody has used before.
func newToken(prefix string) string { return prefix + strings.ToLower(rand.Text()+rand.Text()) }

// newSecret makes the secret of a webhook.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}
