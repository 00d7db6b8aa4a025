package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func lineOf(i int) string { return fmt.Sprintf(`{"type":"xss","n":%d}`, i) }

// file writes n findings, a line each, and gives the path.
func file(t *testing.T, name string, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		b.WriteString(lineOf(i) + "\n")
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// took fails unless the hub took the findings 0 to n−1, each once and in order.
func (h *fakeHub) took(n int) {
	h.t.Helper()
	if len(h.findings) != n {
		h.t.Errorf("the hub took %d findings, want %d", len(h.findings), n)
	}
	for i, f := range h.findings {
		if f != lineOf(i) {
			h.t.Fatalf("finding %d is %s", i, f)
		}
	}
}

func TestSendInBatches(t *testing.T) {
	h := newFakeHub(t)
	r, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{file(t, "a.ndjson", 2500)}})
	if err != nil || r.Accepted != 2500 || r.Rejected != 0 || r.Batches != 3 {
		t.Errorf("got %+v, %v", r, err)
	}
	h.took(2500)
	if fmt.Sprint(h.sizes) != "[1000 1000 500]" {
		t.Errorf("batches of %v", h.sizes)
	}
}

func TestSendKeepsBatchesBelowTheBodyLimit(t *testing.T) {
	h := newFakeHub(t)
	line := `{"type":"xss","payload":"` + strings.Repeat("x", 900<<10) + `"}`
	r, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{"-"}, Stdin: strings.NewReader(strings.Repeat(line+"\n", 9))})
	if err != nil || r.Accepted != 9 || fmt.Sprint(h.sizes) != "[4 4 1]" {
		t.Errorf("got %+v, %v, batches of %v", r, err, h.sizes)
	}
}

func TestSendTellsOfRejectsByLine(t *testing.T) {
	h := newFakeHub(t)
	in := lineOf(0) + "\n\n{\"no\":1}\n" + lineOf(1) + "\nnot json\n{\"type\":\"" + strings.Repeat("x", 5<<20) + "\"}\n"
	r, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{"-"}, Stdin: strings.NewReader(in)})
	if err != nil || r.Accepted != 2 || r.Rejected != 3 {
		t.Fatalf("got %+v, %v", r, err)
	}
	want := []SendReject{{"-", 1, 3, "type is required"}, {"-", 3, 5, "type is required"}, {"-", 4, 6, "is longer than 4 MiB"}}
	if fmt.Sprint(r.Rejects) != fmt.Sprint(want) {
		t.Errorf("rejects %v, want %v", r.Rejects, want)
	}
}

func TestSendWhenAllAreRejected(t *testing.T) {
	h := newFakeHub(t)
	r, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{"-"}, Stdin: strings.NewReader("{\"a\":1}\n{\"b\":2}\n")})
	if err != nil || r.Accepted != 0 || r.Rejected != 2 || r.Rejects[1] != (SendReject{"-", 1, 2, "type is required"}) {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestSendHalvesWhatIsTooLarge(t *testing.T) {
	h := newFakeHub(t)
	h.before = func(n int) *http.Response {
		if n < 2 { // the whole, and its first half
			return respond(413, `{"title":"too large","status":413,"detail":"the body is larger than 10 bytes"}`)
		}
		return nil
	}
	r, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{file(t, "a.ndjson", 8)}})
	if err != nil || r.Accepted != 8 || fmt.Sprint(h.sizes) != "[2 2 4]" {
		t.Errorf("got %+v, %v, batches of %v", r, err, h.sizes)
	}
	h.took(8)
}

func TestSendWaitsAsLongAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHub(t)
		answers := []*http.Response{
			respond(429, "", "Retry-After", "7"),
			respond(503, `{"title":"busy","detail":"the backlog is full"}`, "Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat)),
		}
		h.before = func(n int) *http.Response {
			if n < len(answers) {
				return answers[n]
			}
			return nil
		}
		c := h.client()
		c.Patience = time.Minute
		start, waits := time.Now(), 0
		path := file(t, "a.ndjson", 3)
		r, err := Send(t.Context(), SendOptions{Client: c, Files: []string{path}, Progress: func(p SendProgress) {
			if p.Waiting != "" {
				waits++
			}
		}})
		if err != nil || r.Accepted != 3 || waits != 2 {
			t.Errorf("got %+v, %v after %d waits", r, err, waits)
		}
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("took %v, want 7 s and then up to the date 20 s after the start", took)
		}
		h.took(3)
	})
}

func TestSendWaitsLongerEachTimeAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHub(t)
		h.before = func(int) *http.Response { return respond(503, "") }
		c := h.client()
		c.Patience = 2 * time.Minute
		start := time.Now()
		_, err := Send(t.Context(), SendOptions{Client: c, Files: []string{file(t, "a.ndjson", 3)}})
		var refused *APIError
		if !errors.As(err, &refused) || refused.Status != 503 {
			t.Errorf("got %v", err)
		}
		// 0.5, 1, 2, 4, 8, 16, 30, 30 … s, each up to a fifth more or less.
		if took := time.Since(start); took < time.Minute || took > 2*time.Minute || h.requests < 7 || h.requests > 12 {
			t.Errorf("%d tries in %v", h.requests, took)
		}
	})
}

func TestSendDoesNotRepeatWhatCannotSucceed(t *testing.T) {
	h := newFakeHub(t)
	h.before = func(int) *http.Response {
		return respond(401, `{"title":"Unauthorized","status":401,"detail":"the key is not known"}`)
	}
	c := h.client()
	c.Patience = time.Hour
	_, err := Send(t.Context(), SendOptions{Client: c, Files: []string{file(t, "a.ndjson", 3)}})
	if h.requests != 1 || errText(err) != "the key is not known; give an API key with --key or TOCSIN_API_KEY" {
		t.Errorf("%d tries: %v", h.requests, err)
	}
}

// An answer that is lost makes the batch go out again; the hub knows its key.
func TestSendRepeatsUnderTheSameKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHub(t)
		h.lost = func(n int) bool { return n%2 == 0 }
		c := h.client()
		c.Patience = time.Minute
		r, err := Send(t.Context(), SendOptions{Client: c, Files: []string{file(t, "a.ndjson", 2500)}})
		if err != nil || r.Accepted != 2500 || h.requests != 6 {
			t.Errorf("got %+v, %v after %d requests", r, err, h.requests)
		}
		h.took(2500)
	})
}

// Whatever request a call dies at, before or after the hub has taken the batch,
// the next one with --resume completes the file: each finding once, in order,
// and the counts are those of the whole.
func TestResume(t *testing.T) {
	for _, format := range []string{"ndjson", "json"} {
		for dies := range 4 {
			for _, taken := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/request %d, taken %v", format, dies, taken), func(t *testing.T) { resume(t, format, dies, taken) })
			}
		}
	}
}

func resume(t *testing.T, format string, dies int, taken bool) {
	path := file(t, "a."+format, 3500)
	if format == "json" {
		asArray(t, path)
	}
	h := newFakeHub(t)
	h.before = func(n int) *http.Response {
		if n == dies && !taken {
			return respond(503, "")
		}
		return nil
	}
	h.lost = func(n int) bool { return n == dies && taken }
	first, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{path}, Resume: true})
	if err == nil || first.Accepted != int64(dies)*1000 {
		t.Fatalf("the first call gave %+v, %v", first, err)
	}
	second, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{path}, Resume: true})
	if err != nil || second.Accepted != 3500 || second.Resumed != int64(dies)*1000 {
		t.Fatalf("the second call gave %+v, %v", second, err)
	}
	h.took(3500)
	if h.requests != 5 {
		t.Errorf("%d requests for 4 batches of which one failed", h.requests)
	}
	if _, err := os.Stat(path + stateSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state file is still there: %v", err)
	}
}

func asArray(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = append([]byte("[\n"), bytes.ReplaceAll(bytes.TrimSpace(b), []byte("}\n"), []byte("},\n"))...)
	if err := os.WriteFile(path, append(b, "\n]\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestResumeCountsRejectsOfTheEarlierCall(t *testing.T) {
	path := file(t, "a.ndjson", 1500)
	prepend(t, path, "{\"bad\":1}\n")
	h := newFakeHub(t)
	h.before = func(n int) *http.Response {
		if n == 1 {
			return respond(503, "")
		}
		return nil
	}
	o := SendOptions{Client: h.client(), Files: []string{path}, Resume: true}
	if _, err := Send(t.Context(), o); err == nil {
		t.Fatal("the first call succeeded")
	}
	r, err := Send(t.Context(), o)
	if err != nil || r.Accepted != 1500 || r.Rejected != 1 || len(r.Rejects) != 1 || r.Rejects[0].Line != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func prepend(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append([]byte(text), b...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestResumeRefusesAnotherFile(t *testing.T) {
	path := file(t, "a.ndjson", 1500)
	h := newFakeHub(t)
	h.before = func(n int) *http.Response {
		if n == 1 {
			return respond(503, "")
		}
		return nil
	}
	o := SendOptions{Client: h.client(), Files: []string{path}, Resume: true}
	if _, err := Send(t.Context(), o); err == nil {
		t.Fatal("the first call succeeded")
	}
	for name, change := range map[string]func(){
		"is not what it was":  func() { prepend(t, path, lineOf(7)+"\n") },
		"--source \"\"; repe": func() { o.Source = "other" },
	} {
		saved := o
		change()
		if _, err := Send(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
		o = saved
	}
	h.requests = 0
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := Send(t.Context(), o); err == nil || h.requests != 0 {
		t.Errorf("a file cut short was taken up: %v", err)
	}
}

func TestSendOptionsThatCannotBe(t *testing.T) {
	h := newFakeHub(t)
	for _, c := range []struct {
		o    SendOptions
		want string
	}{
		{SendOptions{Files: []string{"-"}, Resume: true}, "standard input cannot be resumed"},
		{SendOptions{Files: []string{t.TempDir()}}, "is a folder"},
		{SendOptions{Files: []string{file(t, "a.ndjson", 1), "missing.json"}}, "no such file"},
	} {
		c.o.Client = h.client()
		if _, err := Send(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if h.requests != 0 {
		t.Error("something was sent all the same")
	}
}

// What stands before a fault is sent, and the fault is named with its place.
func TestSendUpToAFault(t *testing.T) {
	h := newFakeHub(t)
	in := "[" + lineOf(0) + ",\n" + lineOf(1) + ",\n{\"type\" 1}]"
	r, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{"-"}, Stdin: strings.NewReader(in)})
	if err == nil || !strings.HasPrefix(err.Error(), "-: line 3 (finding 2)") || r.Accepted != 2 {
		t.Errorf("got %+v, %v", r, err)
	}
	h.took(2)
}

func TestSendEndsWhenInterrupted(t *testing.T) {
	h := newFakeHub(t)
	ctx, cancel := context.WithCancel(t.Context())
	h.before = func(n int) *http.Response {
		if n == 1 {
			cancel()
			return respond(503, "", "Retry-After", "60")
		}
		return nil
	}
	c := h.client()
	c.Patience = time.Hour
	r, err := Send(ctx, SendOptions{Client: c, Files: []string{file(t, "a.ndjson", 3000)}})
	if !errors.Is(err, context.Canceled) || r.Accepted != 1000 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// endless gives so many bytes of findings, made as they are read.
type endless struct {
	line []byte
	left int
	rest []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.left <= 0 {
			return 0, io.EOF
		}
		e.rest = e.line
		e.left -= len(e.line)
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// A stream is never held in memory: while 96 MB go through, the heap stays
// below a fraction of that.
func TestSendUsesBoundedMemory(t *testing.T) {
	const total, most = 96 << 20, 40 << 20
	h := newFakeHub(t)
	var peak uint64
	h.before = func(int) *http.Response {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
		return respond(202, `{"accepted":1000,"ids":[],"rejected":[]}`)
	}
	line := []byte(`{"type":"xss","payload":"` + strings.Repeat("x", 3<<10) + `"}` + "\n")
	in := &endless{line: line, left: total / len(line) / 1000 * 1000 * len(line)} // whole batches
	r, err := Send(t.Context(), SendOptions{Client: h.client(), Files: []string{"-"}, Stdin: in, Format: "ndjson"})
	if err != nil || r.Bytes < total-int64(1001*len(line)) {
		t.Fatalf("got %+v, %v", r, err)
	}
	if peak > most {
		t.Errorf("the heap grew to %d MB", peak>>20)
	}
}
