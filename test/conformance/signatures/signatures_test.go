// Package signatures_test lets other people's code verify the webhooks that the
// real program sends: the standardwebhooks packages of PyPI, npm, Maven and Go,
// svix of PyPI and npm, stripe and octokit of npm for the older forms, PyNaCl and
// Node for key pairs, and the function that CyberVault's documentation gives for
// X-CV-Signature.
package signatures_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/report"
)

// A verifier is other people's code for some schemes.
type verifier struct {
	name     string
	schemes  []string
	punctual bool   // its clock cannot be shifted
	problem  string // what is not there
	verify   func(t *testing.T, checks []check) []bool
}

// A webhook is a request as it came, kept as bytes.
type webhook struct {
	headers map[string]string
	body    []byte
}

// kept are the headers that verifiers look at.
var kept = []string{"webhook-id", "webhook-timestamp", "webhook-signature", "X-CV-Signature", "X-Hub-Signature-256", "X-Signature"}

// A sample is a webhook with the keys that verify it, newest first, and those that
// did once.
type sample struct {
	name             string
	webhook          webhook
	shared, pairs    []string
	noShared, noPair []string
}

// A check is one webhook held against a key.
type check struct {
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
	Late    int               `json:"late"`
	Scheme  string            `json:"scheme"`

	name string
	want bool
}

func TestOthersAccept(t *testing.T) {
	rep := report.Of(t, 2)
	var checks []check
	for _, s := range samples(t) {
		checks = append(checks, s.checks()...)
	}
	for _, v := range verifiers(t) {
		t.Run(v.name, func(t *testing.T) {
			if v.problem != "" {
				missing(t, v.problem)
			}
			own := slices.DeleteFunc(slices.Clone(checks), func(c check) bool {
				return !slices.Contains(v.schemes, c.Scheme) || v.punctual && c.Late != 0
			})
			if len(own) < 10 {
				t.Fatalf("only %d checks", len(own))
			}
			rep.Figure("checks_by_"+v.name, len(own))
			for i, got := range v.verify(t, own) {
				if c := own[i]; got != c.want {
					t.Errorf("%s, %s: accepted is %v, want %v; headers %v", c.name, c.Scheme, got, c.want, c.Headers)
				}
			}
		})
	}
}

// checks gives what must be accepted and what must be refused.
func (s *sample) checks() (out []check) {
	w := s.webhook
	tampered := webhook{w.headers, bytes.Replace(w.body, []byte(`"severity":"high"`), []byte(`"severity":"info"`), 1)}
	oneByte := webhook{w.headers, slices.Clone(w.body)}
	oneByte.body[len(w.body)/2] ^= 1
	later := shifted(w, "webhook-timestamp", shiftDigit(w.headers["webhook-timestamp"]))
	renamed := shifted(w, "webhook-id", w.headers["webhook-id"]+"x")
	add := func(what, scheme, key string, w webhook, late int, want bool) {
		out = append(out, check{key, w.headers, w.body, late, scheme, s.name + ": " + what, want})
	}
	full := func(scheme string, keys []string, strangers ...string) {
		for _, key := range keys {
			add("as sent", scheme, key, w, 0, true)
			add("a clock 4 minutes ahead", scheme, key, w, 240, true)
			add("body tampered", scheme, key, tampered, 0, false)
			add("a bit of the body flipped", scheme, key, oneByte, 0, false)
			add("another time stamp", scheme, key, later, 0, false)
			add("another id", scheme, key, renamed, 0, false)
			add("301 s old", scheme, key, w, 301, false)
			add("in the future by more than five minutes", scheme, key, w, -360, false) // it has aged since it came
		}
		for _, key := range strangers {
			add("a key that is not live", scheme, key, w, 0, false)
		}
	}
	stranger := "whsec_" + base64.StdEncoding.EncodeToString([]byte("somebody else's secret 32 bytes!"))
	full("standard", s.shared, append(s.noShared, stranger)...)
	full("svix", s.shared, append(s.noShared, stranger)...)
	full("pair", s.pairs, s.noPair...)
	for i, secret := range s.shared {
		add("as sent", "stripe", secret, w, 0, true)
		add("body tampered", "stripe", secret, tampered, 0, false)
		add("301 s old", "stripe", secret, w, 301, false)
		for _, scheme := range []string{"hex", "octokit"} {
			add("as sent", scheme, secret, w, 0, i == 0) // the header has room for one, the newest
			add("body tampered", scheme, secret, tampered, 0, false)
		}
	}
	for _, secret := range append(s.noShared, stranger) {
		for _, scheme := range []string{"hex", "octokit", "stripe"} {
			add("a key that is not live", scheme, secret, w, 0, false)
		}
	}
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

// A sender is the real program with an endpoint, and what came from it.
type sender struct {
	t    *testing.T
	hub  *rig.Hub
	far  *rig.Receiver
	id   string
	got  chan webhook
	sent int
}

func newSender(t *testing.T, take func(w webhook)) (s *sender, secret, public string) {
	t.Helper()
	s = &sender{t: t, got: make(chan webhook, 8)}
	var err error
	s.far, err = rig.NewReceiver(func(h rig.Hook) rig.Answer {
		w := webhook{map[string]string{}, slices.Clone(h.Body)}
		for _, name := range kept {
			w.headers[name] = string(h.Header(name))
		}
		take(w)
		return rig.Answer{Status: 204}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.far.Close() })
	s.hub = hub(t)
	var e struct {
		ID         string `json:"id"`
		Secret     string `json:"secret"`
		PublicKeys []struct {
			Key string `json:"key"`
		} `json:"public_keys"`
	}
	err = s.hub.Post(t.Context(), "/webhooks", map[string]any{
		"url": s.far.URL("/hook"), "events": []string{"alert.created"}, "key_pair": true,
		"signing": []map[string]string{
			{"type": "hex", "header": "X-CV-Signature"},
			{"type": "hex", "header": "X-Hub-Signature-256", "prefix": "sha256="},
			{"type": "timestamped", "header": "X-Signature"},
		},
	}, &e)
	if err != nil {
		t.Fatal(err)
	}
	s.id = e.ID
	return s, e.Secret, e.PublicKeys[0].Key
}

// rotate makes a new secret and a new pair; the old ones sign on for grace.
func (s *sender) rotate(grace string, pair bool) string {
	s.t.Helper()
	var fresh struct {
		Secret    string `json:"secret"`
		PublicKey string `json:"public_key"`
	}
	if err := s.hub.Post(s.t.Context(), "/webhooks/"+s.id+"/rotate-secret", map[string]any{"grace": grace, "key_pair": pair}, &fresh); err != nil {
		s.t.Fatal(err)
	}
	return fresh.Secret + fresh.PublicKey
}

// post submits finding number n.
func (s *sender) post(n int) error {
	body := fmt.Sprintf(`{"type":"sql_injection","asset_id":"srv-%d","severity":"high","title":"Übergriff auf „login“ 日本語 \u0000 \ud83d\ude00 </script>","payload":{"evidence":"' OR 1=1 --"}}`, n)
	return s.hub.Post(s.t.Context(), "/findings", body, nil)
}

// finding submits a finding of its own.
func (s *sender) finding() {
	s.t.Helper()
	s.sent++
	if err := s.post(s.sent); err != nil {
		s.t.Fatal(err)
	}
}

// next submits a finding and gives its webhook.
func (s *sender) next() webhook {
	s.t.Helper()
	s.finding()
	select {
	case w := <-s.got:
		return w
	case <-time.After(30 * time.Second):
		s.t.Fatal("no webhook came")
		return webhook{}
	}
}

// samples gives a webhook as the real program sent it, one that it sent while its
// keys were being changed, and one after the old keys had ended.
func samples(t *testing.T) []sample {
	t.Helper()
	var s *sender
	got := make(chan webhook, 8)
	s, secret1, pair1 := newSender(t, func(w webhook) { got <- w })
	s.got = got
	plain := s.next()
	secret2, pair2 := s.rotate("1h", false), s.rotate("1h", true)
	turned := s.next()
	secret3, pair3 := s.rotate("1s", false), s.rotate("1s", true)
	over := time.Now().Add(2 * time.Second) // their grace, and a second
	ended := s.next()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(time.Minute); strings.Count(ended.headers["webhook-signature"], ",") > 2; {
		if time.Now().After(end) {
			t.Fatalf("old keys sign on after their grace: %q", ended.headers["webhook-signature"])
		}
		if sent, err := strconv.ParseInt(ended.headers["webhook-timestamp"], 10, 64); err != nil || sent > over.Unix() {
			t.Fatalf("old keys signed what was sent at %d (%v), though their grace ended before %d", sent, err, over.Unix()-1)
		}
		<-look.C
		ended = s.next()
	}
	if strings.Contains(plain.headers["webhook-id"], ".") {
		t.Errorf("webhook-id %q holds a dot, which separates the parts that are signed", plain.headers["webhook-id"])
	}
	return []sample{
		{"plain", plain, []string{secret1}, []string{pair1}, []string{secret2}, []string{pair2}},
		{"turned", turned, []string{secret2, secret1}, []string{pair2, pair1}, []string{secret3}, []string{pair3}},
		{"ended", ended, []string{secret3}, []string{pair3}, []string{secret2, secret1}, []string{pair2, pair1}},
	}
}

// A receiver that knows the newest secret and the one before verifies every
// request while secrets change ten times a second.
func TestNoneFailsWhileSecretsTurn(t *testing.T) {
	rep := report.Of(t, 2)
	var mu sync.Mutex
	var keys []string
	came, refused, failed := 0, 0, ""
	s, secret, _ := newSender(t, func(w webhook) {
		h := http.Header{}
		for name, value := range w.headers {
			h.Set(name, value)
		}
		mu.Lock()
		defer mu.Unlock()
		came++
		for _, key := range keys[max(len(keys)-2, 0):] {
			if wh, err := standardwebhooks.NewWebhook(key); err == nil && wh.Verify(w.body, h) == nil {
				return
			}
		}
		refused++
		failed = fmt.Sprintf("request %d after %d secrets: %v", came, len(keys), w.headers)
	})
	keys = []string{secret}
	total := report.Size(1000, 10_000)
	const callers = 4
	done := make(chan struct{})
	go func() {
		defer close(done)
		var posts sync.WaitGroup
		for c := range callers {
			posts.Go(func() {
				for i := c; i < total; i += callers {
					if err := s.post(i); err != nil {
						t.Errorf("finding %d: %v", i, err)
						return
					}
				}
			})
		}
		posts.Wait()
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	turns := 0
	for sending := true; sending; turns++ {
		fresh := s.rotate("1h", false)
		mu.Lock()
		keys = append(keys, fresh)
		mu.Unlock()
		select {
		case <-tick.C:
		case <-done:
			sending = false
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := rig.Poll(ctx, 20*time.Millisecond, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return came >= total
	})
	mu.Lock()
	defer mu.Unlock()
	if err != nil || failed != "" {
		t.Errorf("%d of %d came (%v); refused: %s", came, total, err, failed)
	}
	rep.Figure("deliveries", came)
	rep.Figure("rotations", turns)
	rep.Figure("refused", refused)
}

// built gives the program, which is built once. Its folder ends with the tests.
var built = sync.OnceValues(func() (string, error) {
	if binary := os.Getenv("TOCSIN_E2E_BINARY"); binary != "" {
		return binary, nil
	}
	return rig.Build(context.Background(), folder)
})

var folder string // set by TestMain

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "signatures-*"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

func hub(t *testing.T) *rig.Hub {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
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

// verifiers are other people's code, as make deps installs it.
func verifiers(t *testing.T) []verifier {
	t.Helper()
	cache, err := filepath.Abs(filepath.Join(root, ".cache"))
	if err != nil {
		t.Fatal(err)
	}
	python, modules, jar := filepath.Join(cache, "venv/bin/python"), filepath.Join(cache, "node/node_modules"), filepath.Join(cache, "java/standardwebhooks-1.1.0.jar")
	py := verifier{name: "python", schemes: []string{"standard", "svix", "pair", "hex"}, verify: program(nil, asJSON, python, "verify.py")}
	if exec.CommandContext(t.Context(), python, "-c", "import nacl, standardwebhooks, svix").Run() != nil {
		py.problem = "PyPI's standardwebhooks, svix and PyNaCl are not installed"
	}
	js := verifier{name: "javascript", schemes: []string{"standard", "svix", "pair", "hex", "stripe", "octokit"}, verify: program([]string{"NODE_PATH=" + modules}, asJSON, "node", "verify.js")}
	for _, name := range []string{"standardwebhooks", "svix", "stripe", "@octokit/webhooks-methods"} {
		if _, err := os.Stat(filepath.Join(modules, name)); err != nil {
			js.problem = "npm's " + name + " is not installed"
		}
	}
	java := verifier{name: "java", schemes: []string{"standard"}, punctual: true, verify: program(nil, asLines, "java", "-cp", jar, "Verify.java")}
	if _, err := os.Stat(jar); err != nil {
		java.problem = "Maven's standardwebhooks is not there"
	}
	for v, needs := range map[*verifier]string{&js: "node", &java: "javac"} {
		if _, err := exec.LookPath(needs); err != nil {
			v.problem = needs + " is not installed"
		}
	}
	return []verifier{py, js, java, {name: "go", schemes: []string{"standard"}, punctual: true, verify: inGo}}
}

// inGo verifies with the Go library.
func inGo(t *testing.T, checks []check) (out []bool) {
	for _, c := range checks {
		wh, err := standardwebhooks.NewWebhook(c.Key)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		for name, value := range c.Headers {
			h.Set(name, value)
		}
		out = append(out, wh.Verify(c.Body, h) == nil)
	}
	return out
}

func asJSON(checks []check) ([]byte, error) { return json.Marshal(checks) }

// asLines is for a language without JSON.
func asLines(checks []check) ([]byte, error) {
	var b bytes.Buffer
	for _, c := range checks {
		h := c.Headers
		fmt.Fprintln(&b, strings.Join([]string{c.Key, h["webhook-id"], h["webhook-timestamp"], h["webhook-signature"], base64.StdEncoding.EncodeToString(c.Body)}, "\t"))
	}
	return b.Bytes(), nil
}

// program verifies with a program that reads checks and prints a list of answers.
func program(env []string, encode func([]check) ([]byte, error), command ...string) func(t *testing.T, checks []check) []bool {
	return func(t *testing.T, checks []check) []bool {
		t.Helper()
		in, err := encode(checks)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Stdin, cmd.Env = bytes.NewReader(in), append(os.Environ(), env...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		text, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", command, err, stderr.Bytes())
		}
		var out []bool
		if err := json.Unmarshal(text, &out); err != nil || len(out) != len(checks) {
			t.Fatalf("%v printed %d answers to %d checks (%v): %s", command, len(out), len(checks), err, text)
		}
		return out
	}
}

// missing skips on a laptop and fails in CI.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s; make deps installs it", what)
	}
	t.Skipf("NOT TESTED: %s; to test it run: make deps", what)
}
