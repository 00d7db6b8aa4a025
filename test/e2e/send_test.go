package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// maxSender is how much memory `tocsin send` may take, whatever the file.
const maxSender = 150 << 20

// Files of any size go through `tocsin send` in memory that does not grow with
// them, and a call that was killed is taken up where it was. By default the files
// are small; TOCSIN_E2E_SEND_MB=100 sends what a big scan makes.
func TestSendOfLargeFiles(t *testing.T) {
	size := int64(number(t, "TOCSIN_E2E_SEND_MB", 4, 1)) << 20
	for _, c := range []struct {
		format, file, source string
		write                func(w io.Writer, size int64) int
	}{
		{"sarif", "results.sarif", "sarif", writeSARIF},
		{"suricata", "eve.json", "suricata", writeEVE},
	} {
		t.Run(c.format, func(t *testing.T) {
			h := running(t)
			file := filepath.Join(t.TempDir(), c.file)
			n := writeLarge(t, file, func(w io.Writer) int { return c.write(w, size) })
			first := send(t, h, file, c.format, true)
			again := send(t, h, file, c.format, false)
			t.Logf("%d findings of %d MB; the call that was killed took %d MB of memory, the one after it %d MB and %v; %s",
				n, size>>20, first.memory>>20, again.memory>>20, again.took.Round(time.Millisecond), again.result)
			for _, s := range []sent{first, again} {
				if s.memory > maxSender {
					t.Errorf("the sender took %d MB of memory, want at most %d", s.memory>>20, maxSender>>20)
				}
			}
			if again.result.Accepted != int64(n) || again.result.Rejected != 0 || first.killed && again.result.Resumed == 0 {
				t.Errorf("the second call says %+v, want %d accepted, some of them by the first", again.result, n)
			}
			if total := findingsOf(t, h, c.source); total != int64(n) {
				t.Errorf("the hub has %d findings, want %d", total, n)
			}
			if again.took > 12*time.Second && !regexp.MustCompile(`%  [\d.]+ MB of [\d.]+ MB  .*/s  ETA `).MatchString(again.progress) {
				t.Errorf("it showed no progress: %q", again.progress)
			}
		})
	}
}

// A sent is what one call of `tocsin send` did.
type sent struct {
	killed   bool
	memory   int64 // bytes, at most
	took     time.Duration
	progress string
	result   sendResult
}

type sendResult struct {
	Accepted, Rejected, Resumed int64
}

func (r sendResult) String() string {
	return fmt.Sprintf("%d accepted, %d of them by the call before", r.Accepted, r.Resumed)
}

// send calls `tocsin send --resume`; if asked for, it is killed as soon as it has
// sent something.
func send(t *testing.T, h *rig.Hub, file, format string, kill bool) sent {
	t.Helper()
	args := []string{"send", "--resume", "--format", format, "--url", h.URL(""), "--key", rig.Key, file}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	var out, progress bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := watch(t, cmd, file+".tocsin-send", kill)
	s.took, s.progress = time.Since(begun), progress.String()
	if s.killed {
		return s
	}
	m := regexp.MustCompile(`(\d+) accepted, (\d+) rejected in [\d.]+s(?: \((\d+) of them)?`).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("tocsin send printed %q and %q", out.String(), progress.String())
	}
	for i, into := range []*int64{&s.result.Accepted, &s.result.Rejected, &s.result.Resumed} {
		*into, _ = strconv.ParseInt(m[i+1], 10, 64)
	}
	return s
}

// watch looks at the sender until it ends, and kills it if asked to.
func watch(t *testing.T, cmd *exec.Cmd, state string, kill bool) (s sent) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) && !s.killed || err != nil && exit == nil {
				t.Fatalf("tocsin send: %v: %s", err, cmd.Stderr)
			}
			return s
		case <-look.C:
			s.memory = max(s.memory, peak(cmd.Process.Pid))
			if _, err := os.Stat(state); kill && !s.killed && err == nil {
				s.killed = cmd.Process.Kill() == nil
			}
		}
	}
}

// peak is the most memory that a process has had, 0 if it cannot be known.
func peak(pid int) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// findingsOf waits until all that was accepted is triaged, and counts it.
func findingsOf(t *testing.T, h *rig.Hub, source string) int64 {
	t.Helper()
	eventually(t, "all is triaged", 5*time.Minute, func() bool {
		var m struct {
			Backlog *int64 `json:"backlog"`
		}
		if err := h.Get(t.Context(), "/dashboard/metrics", &m); err != nil {
			t.Fatal(err)
		}
		return m.Backlog != nil && *m.Backlog == 0
	})
	var list struct {
		Total int64 `json:"total"`
	}
	if err := h.Get(t.Context(), "/findings?page=1&limit=1&source="+source, &list); err != nil {
		t.Fatal(err)
	}
	return list.Total
}

func writeLarge(t *testing.T, file string, write func(w io.Writer) int) int {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	b := bufio.NewWriterSize(f, 1<<20)
	n := write(b)
	if err := errors.Join(b.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// writeSARIF writes one run whose results stand before the rules they refer to,
// which is the hardest way to read one.
func writeSARIF(w io.Writer, size int64) (n int) {
	written, _ := fmt.Fprint(w, `{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{"versionControlProvenance":[{"repositoryUri":"https://git.example.com/shop"}],"results":[`)
	for total := int64(written); total < size; n++ {
		sep := ","
		if n == 0 {
			sep = ""
		}
		part, _ := fmt.Fprintf(w, `%s{"ruleId":"R%04d","level":"error","message":{"text":"A value that comes from a request reaches a query: %s"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"src/module%d/file%d.go"},"region":{"startLine":%d,"snippet":{"text":"%s"}}}}],"partialFingerprints":{"primaryLocationLineHash":"%016x:1"}}`,
			sep, n%1000, strings.Repeat("x", n%200), n%97, n, n%3000, strings.Repeat("db.Query(input) ", 20), n)
		total += int64(part)
	}
	fmt.Fprint(w, `],"tool":{"driver":{"name":"Checker","version":"3.1","rules":[`)
	for i := range 1000 {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		rule, _ := json.Marshal(map[string]any{
			"id": fmt.Sprintf("R%04d", i), "shortDescription": map[string]string{"text": "Rule " + strconv.Itoa(i)},
			"fullDescription": map[string]string{"text": strings.Repeat("why it matters ", 20)}, "properties": map[string]any{"security-severity": "8.1"},
		})
		_, _ = w.Write(rule)
	}
	fmt.Fprint(w, `]}}}]}`)
	return n
}

// writeEVE writes alerts among twice as many other events.
func writeEVE(w io.Writer, size int64) (n int) {
	for total, i := int64(0), 0; total < size; i++ {
		var part int
		if i%3 != 0 {
			part, _ = fmt.Fprintf(w, `{"timestamp":"2026-03-01T12:%02d:%02d.%06d+0000","flow_id":%d,"event_type":"flow","src_ip":"10.0.%d.%d","src_port":%d,"dest_ip":"192.0.2.7","dest_port":443,"proto":"TCP","flow":{"pkts_toserver":12,"pkts_toclient":14,"bytes_toserver":%d,"bytes_toclient":5300,"state":"closed"}}`+"\n",
				i/60%60, i%60, i%1000000, i, i/250%250, i%250, 1024+i%60000, 1000+i)
			total += int64(part)
			continue
		}
		part, _ = fmt.Fprintf(w, `{"timestamp":"2026-03-01T12:%02d:%02d.%06d+0000","flow_id":%d,"in_iface":"eth0","event_type":"alert","src_ip":"10.%d.%d.%d","src_port":%d,"dest_ip":"192.0.2.7","dest_port":443,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":%d,"rev":3,"signature":"ET MALWARE Something that calls home %d","category":"A Network Trojan was detected","severity":1},"http":{"hostname":"bad.example","url":"/%s","http_user_agent":"x"},"payload_printable":"%s"}`+"\n",
			i/60%60, i%60, i%1000000, i, i/62500%250, i/250%250, i%250, 1024+i%60000, 2000000+i%500, i%500, strings.Repeat("a", i%100), strings.Repeat("GET / ", 40))
		total += int64(part)
		n++
	}
	return n
}
