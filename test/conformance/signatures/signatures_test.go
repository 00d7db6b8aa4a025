// Package signatures_test lets other people's code verify the webhooks that the
// real program sends: the standardwebhooks packages of PyPI and npm, and the
// function that CyberVault's documentation gives for X-CV-Signature.
package signatures_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// A verifier is a program of other people's code: see verify.py.
type verifier struct {
	name    string
	command []string
	env     []string
	problem string // what is not there
}

// A webhook is a request as it came, kept as bytes.
type webhook struct {
	headers map[string]string
	body    []byte
}

// A check is one webhook held against a secret.
type check struct {
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
	Late    int               `json:"late"`
	Scheme  string            `json:"scheme"`

	name string
	want bool
}

func TestOthersAccept(t *testing.T) {
	plain, turned, before, after := deliveries(t)
	checks := append(checksOf("plain", plain, []string{before}), checksOf("rotated", turned, []string{after, before})...)
	for _, v := range verifiers(t) {
		t.Run(v.name, func(t *testing.T) {
			if v.problem != "" {
				missing(t, v.problem)
			}
			for i, got := range v.run(t, checks) {
				if c := checks[i]; got != c.want {
					t.Errorf("%s, %s: accepted is %v, want %v; headers %v", c.name, c.Scheme, got, c.want, c.Headers)
				}
			}
		})
	}
}

// checksOf makes of a webhook what must be accepted with each secret that is
// live, newest first, and what must be refused.
func checksOf(name string, w webhook, live []string) []check {
	tampered := bytes.Replace(w.body, []byte(`"severity":"high"`), []byte(`"severity":"info"`), 1)
	later := shifted(w, "webhook-timestamp", shiftDigit(w.headers["webhook-timestamp"]))
	renamed := shifted(w, "webhook-id", w.headers["webhook-id"]+"x")
	stranger := "whsec_" + base64.StdEncoding.EncodeToString([]byte("somebody else's secret 32 bytes!"))
	var out []check
	add := func(what, scheme, secret string, w webhook, late int, want bool) {
		out = append(out, check{secret, w.headers, w.body, late, scheme, name + ": " + what, want})
	}
	for i, secret := range live {
		add("as sent", "standard", secret, w, 0, true)
		add("a clock 4 minutes ahead", "standard", secret, w, 240, true)
		add("body tampered", "standard", secret, webhook{w.headers, tampered}, 0, false)
		add("another time stamp", "standard", secret, later, 0, false)
		add("another id", "standard", secret, renamed, 0, false)
		add("six minutes old", "standard", secret, w, 360, false)
		add("six minutes in the future", "standard", secret, w, -360, false)
		add("as sent", "hex", secret, w, 0, i == 0) // the header has room for one, the newest
		add("body tampered", "hex", secret, webhook{w.headers, tampered}, 0, false)
	}
	add("wrong key", "standard", stranger, w, 0, false)
	add("wrong key", "hex", stranger, w, 0, false)
	return out
}

// shifted is w with another value of one header.
func shifted(w webhook, name, value string) webhook {
	headers := map[string]string{}
	for k, v := range w.headers {
		headers[k] = v
	}
	headers[name] = value
	return webhook{headers, w.body}
}

// shiftDigit changes the last digit of a number, which is a second or few.
func shiftDigit(s string) string {
	b := []byte(s)
	b[len(b)-1] = '0' + (b[len(b)-1]-'0'+1)%10
	return string(b)
}

// deliveries gives a webhook as the real program sent it, one that it sent while
// the secret was being changed, and the secret before and after.
func deliveries(t *testing.T) (plain, turned webhook, before, after string) {
	t.Helper()
	got := make(chan webhook, 8)
	r, err := rig.NewReceiver(func(h rig.Hook) rig.Answer {
		w := webhook{map[string]string{}, slices.Clone(h.Body)}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature", "X-CV-Signature"} {
			w.headers[name] = string(h.Header(name))
		}
		got <- w
		return rig.Answer{Status: 204}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	h := hub(t)
	e, err := h.Webhook(t.Context(), r, "/hook", map[string]any{
		"events": []string{"alert.created"}, "signing": []map[string]string{{"type": "hex", "header": "X-CV-Signature"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	send := func(n string) webhook {
		body := `{"type":"sql_injection","asset_id":"srv-` + n + `","severity":"high","title":"Übergriff auf „login“ 日本語 \u0000 \ud83d\ude00 </script>","payload":{"evidence":"' OR 1=1 --"}}`
		if err := h.Post(t.Context(), "/findings", body, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case w := <-got:
			return w
		case <-time.After(30 * time.Second):
			t.Fatalf("no webhook came; %d were badly signed: %s", r.Bad.Load(), r.Reason())
			return webhook{}
		}
	}
	plain = send("1")
	var fresh struct {
		Secret string `json:"secret"`
	}
	if err := h.Post(t.Context(), "/webhooks/"+e.ID+"/rotate-secret", map[string]any{"grace": "1h"}, &fresh); err != nil {
		t.Fatal(err)
	}
	turned = send("2")
	if strings.Contains(plain.headers["webhook-id"], ".") {
		t.Errorf("webhook-id %q holds a dot, which separates the parts that are signed", plain.headers["webhook-id"])
	}
	return plain, turned, e.Secret, fresh.Secret
}

func hub(t *testing.T) *rig.Hub {
	t.Helper()
	binary := os.Getenv("TOCSIN_E2E_BINARY")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if binary == "" {
		var err error
		if binary, err = rig.Build(ctx, t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	h, err := rig.NewHub(binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the hub's last words:\n%s", h.Stderr())
		}
	})
	if _, err := h.Up(ctx); err != nil {
		t.Fatal(err)
	}
	return h
}

const root = "../../.."

// verifiers are the programs, as make deps installs what they need.
func verifiers(t *testing.T) []verifier {
	t.Helper()
	python, node := filepath.Join(root, ".cache/venv/bin/python"), filepath.Join(root, ".cache/node/node_modules")
	modules, err := filepath.Abs(node)
	if err != nil {
		t.Fatal(err)
	}
	py := verifier{name: "python", command: []string{python, "verify.py"}}
	if _, err := os.Stat(python); err != nil {
		py.problem = "PyPI's standardwebhooks is not installed"
	}
	js := verifier{name: "javascript", command: []string{"node", "verify.js"}, env: []string{"NODE_PATH=" + modules}}
	if _, err := os.Stat(filepath.Join(modules, "standardwebhooks")); err != nil {
		js.problem = "npm's standardwebhooks is not installed"
	} else if _, err := exec.LookPath("node"); err != nil {
		js.problem = "node is not installed"
	}
	return []verifier{py, js}
}

func (v verifier) run(t *testing.T, checks []check) []bool {
	t.Helper()
	in, err := json.Marshal(checks)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, v.command[0], v.command[1:]...)
	cmd.Stdin, cmd.Env = bytes.NewReader(in), append(os.Environ(), v.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", v.command, err, stderr.Bytes())
	}
	var out []bool
	if err := json.Unmarshal(text, &out); err != nil || len(out) != len(checks) {
		t.Fatalf("%v printed %d answers to %d checks (%v): %s", v.command, len(out), len(checks), err, text)
	}
	return out
}

// missing skips on a laptop and fails in CI.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s; make deps installs it", what)
	}
	t.Skipf("NOT TESTED: %s; to test it run: make deps", what)
}
