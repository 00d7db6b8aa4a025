package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/report"
)

// A witness is a receiver that keeps all of each request, and answers as the list
// says, then with 204.
type witness struct {
	*httptest.Server
	mu    sync.Mutex // guards what follows
	heads []http.Header
	sums  []string // of bodies, as attempts have them
}

// answers of the witness, in turn.
var answers = []int{http.StatusInternalServerError, http.StatusTooManyRequests, http.StatusNoContent}

func newWitness(t *testing.T) *witness {
	w := new(witness)
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sum := sha256.Sum256(body)
		w.mu.Lock()
		n := len(w.heads)
		w.heads, w.sums = append(w.heads, r.Header), append(w.sums, "sha-256="+hex.EncodeToString(sum[:]))
		w.mu.Unlock()
		rw.Header().Set("X-Answer", fmt.Sprint(n))
		rw.WriteHeader(answers[min(n, len(answers)-1)])
		if n == 0 {
			io.WriteString(rw, "out of order")
		}
	}))
	t.Cleanup(w.Close)
	return w
}

// A record is an attempt as the API shows it.
type record struct {
	Number   int               `json:"number"`
	At       time.Time         `json:"at"`
	Duration string            `json:"duration"`
	Address  string            `json:"address"`
	Request  map[string]string `json:"request_headers"`
	Digest   string            `json:"request_digest"`
	Status   int               `json:"status"`
	Response map[string]string `json:"response_headers"`
	Body     string            `json:"response_body"`
	Verdict  string            `json:"verdict"`
}

// Every attempt is recorded as it was: what was sent and answered, where to, how
// long it took and what followed. The audit log holds each record fast, and
// programs that share no code with the hub recompute it all from its database.
func TestEvidence(t *testing.T) {
	embeddedOnly(t)
	python, err := exec.LookPath("python3")
	if err != nil {
		missing(t, "python3 is not there", "install python3, in which the other verifier is written")
	}
	rep := report.Of(t, 10)
	h, w := running(t), newWitness(t)
	var e struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	if err := h.Post(t.Context(), "/webhooks", map[string]any{
		"url": w.URL + "/proof", "events": []string{"alert.created"}, "headers": map[string]string{"X-Own": "of the owner"},
		"retry": map[string]any{"schedule": []string{"100ms", "100ms", "100ms"}, "jitter": 0}, "signing": []map[string]string{{"type": "hex", "header": "X-CV-Signature"}},
	}, &e); err != nil {
		t.Fatal(err)
	}
	expect(t, h, observation{"p", "high", "", 0}, "created")
	d := onlyDelivery(t, h, e.ID, "succeeded")
	var shown struct {
		Log []record `json:"attempt_log"`
	}
	if err := h.Get(t.Context(), "/deliveries/"+d.ID, &shown); err != nil {
		t.Fatal(err)
	}
	w.judge(t, shown.Log)
	findings := rig.Findings{Run: "evidence"}
	for i := range 30 {
		if err := h.Post(t.Context(), "/findings?wait=true", findings.Append(nil, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Post(t.Context(), "/webhooks/"+e.ID+"/test", nil, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all delivered", timeLong, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.heads) == 3+30+1 })
	stop(t, h)
	verified(t, h)
	chained(t, h, python)
	outside(t, h, python, e.Secret, rep)
}

// judge holds records against what came.
func (w *witness) judge(t *testing.T, log []record) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(log) != len(answers) || len(w.heads) != len(answers) {
		t.Fatalf("%d attempts are recorded, %d came, want %d", len(log), len(w.heads), len(answers))
	}
	verdicts := []string{"retry", "retry", "succeeded"}
	for i, a := range log {
		if a.Number != i+1 || a.Status != answers[i] || a.Verdict != verdicts[i] || a.Digest != w.sums[i] || "http://"+a.Address != w.URL || a.Response["X-Answer"] != fmt.Sprint(i) {
			t.Errorf("attempt %d is recorded as %+v; what came had the digest %s", i+1, a, w.sums[i])
		}
		took, err := time.ParseDuration(a.Duration)
		if err != nil || took <= 0 || time.Since(a.At) > 5*time.Minute || i > 0 && !a.At.After(log[i-1].At) {
			t.Errorf("attempt %d was at %v and took %q", i+1, a.At, a.Duration)
		}
		kept := http.Header{} // as it is sent, names of the standard are in lower case
		for name, value := range a.Request {
			kept.Set(name, value)
		}
		for name, values := range w.heads[i] {
			want := strings.Join(values, ", ")
			if name == "X-Own" {
				want = "***" // it may be a credential
			}
			if own := name != "Content-Length" && name != "Accept-Encoding"; own && kept.Get(name) != want {
				t.Errorf("attempt %d came with %s %q, recorded is %q", i+1, name, want, kept.Get(name))
			}
		}
		for name := range a.Request {
			if w.heads[i].Get(name) == "" {
				t.Errorf("attempt %d is recorded with %s, which did not come", i+1, name)
			}
		}
	}
	if log[0].Body != "out of order" {
		t.Errorf("the answer's body is recorded as %q", log[0].Body)
	}
}

// chained has the log's other verifier read an export.
func chained(t *testing.T, h *rig.Hub, python string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	if code, text, err := h.Run(ctx, "audit", "export", "--data", h.Dir, "-o", file); err != nil || code != 0 {
		t.Fatalf("audit export: exit %d, %v: %s", code, err, text)
	}
	if text, err := exec.CommandContext(ctx, python, "-B", "../conformance/audit/verify.py", file).CombinedOutput(); err != nil {
		t.Errorf("the other verifier: %v: %s", err, text)
	}
}

// outside has the records checked by a program of their own, then again after one
// bit of one of them was turned.
func outside(t *testing.T, h *rig.Hub, python, secret string, rep *report.Report) {
	t.Helper()
	db := filepath.Join(h.Dir, "tocsin.db")
	type finding struct {
		Attempts int     `json:"attempts"`
		Bits     int     `json:"bits"`
		Unseen   int     `json:"unseen"`
		Problems [][]any `json:"problems"`
	}
	check := func(more ...string) (f finding) {
		t.Helper()
		var complaint strings.Builder
		cmd := exec.CommandContext(t.Context(), python, append([]string{"-B", "evidence.py", db, secret}, more...)...)
		cmd.Stderr = &complaint
		text, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(text, &f)
		}
		if err != nil {
			t.Fatalf("%v: %s%s", err, text, complaint.String())
		}
		return f
	}
	whole := check("--flip", fmt.Sprint(report.Size(61, 1)))
	if whole.Attempts != 34 || len(whole.Problems) > 0 || whole.Unseen > 0 || whole.Bits == 0 {
		t.Errorf("of 34 attempts: %+v", whole)
	}
	rep.Figure("attempts_recomputed", whole.Attempts)
	rep.Figure("bits_turned_in_records", whole.Bits)
	rep.Figure("bits_unseen", whole.Unseen)
	tamper(t, python, db, `UPDATE attempts SET doc = CAST(replace(CAST(doc AS TEXT), '"status":500', '"status":501') AS BLOB) WHERE number = 1 AND CAST(doc AS TEXT) LIKE '%"status":500%'`)
	if f := check(); len(f.Problems) != 1 || f.Problems[0][1] != 1.0 || f.Problems[0][2] != "is not what was recorded" {
		t.Errorf("a record was changed, and found is %v; want that one alone", f.Problems)
	}
}
