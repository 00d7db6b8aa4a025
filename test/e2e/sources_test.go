package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/test/bench/rig"
)

const (
	hecToken   = "3e5b0b6e-8c5a-4a7d-9a54-0b2c8f6f1d11"
	hecChannel = "fe0ecfad-13d5-401b-847d-77833bd77131"
)

// withSources starts a hub that listens for syslog and for Splunk's senders, and
// gives where syslog is.
func withSources(t *testing.T) (h *rig.Hub, syslog string) {
	t.Helper()
	h = newHub(t)
	syslog, err := rig.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	h.Config = filepath.Join(t.TempDir(), "hub.yaml")
	text := fmt.Sprintf(`connectors:
  - {name: sys, kind: syslog, listen: ["udp://%[1]s", "tcp://%[1]s"], rules: [{name: ssh, match: 'Failed password for (?P<user>\S+) from (?P<ip>\S+)', type: brute_force, severity: medium}]}
  - {name: hec, kind: splunk_hec, token: %[2]s, ack: true}
  - {name: hec2, kind: splunk_hec, token: another}
`, syslog, hecToken)
	if err := os.WriteFile(h.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	up(t, h)
	return h, syslog
}

// splunk makes a request as Splunk's senders do.
func splunk(t *testing.T, h *rig.Hub, path, body, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL("/services/collector"+path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Splunk "+token)
	req.Header.Set("X-Splunk-Request-Channel", hecChannel)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// titles gives the titles of a source's alerts, with how often each was seen.
func titles(t *testing.T, h *rig.Hub, source string) map[string]int64 {
	t.Helper()
	var list struct {
		Data []struct {
			Title string `json:"title"`
			Count int64  `json:"count"`
		} `json:"data"`
	}
	if err := h.Get(t.Context(), "/alerts?limit=200&source="+source, &list); err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	for _, a := range list.Data {
		found[a.Title] = a.Count
	}
	return found
}

// What Splunk's senders are told is acknowledged survives the loss of power, and
// so does the acknowledgement.
func TestSplunkAcknowledgementSurvivesAKill(t *testing.T) {
	h, _ := withSources(t)
	var ids []string
	for i := range 20 {
		status, body := splunk(t, h, "/event", fmt.Sprintf(`{"host":"h","event":{"title":"event %d a","severity":"high"}}{"host":"h","event":{"title":"event %d b","severity":"low"}}`, i, i), hecToken)
		var a struct {
			Text  string `json:"text"`
			AckID uint64 `json:"ackId"`
		}
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 || a.Text != "Success" {
			t.Fatalf("%d %s", status, body)
		}
		ids = append(ids, fmt.Sprint(a.AckID))
	}
	kill(t, h)
	up(t, h)
	status, body := splunk(t, h, "/ack", `{"acks":[`+strings.Join(ids, ",")+`,1]}`, hecToken)
	if status != 200 || strings.Count(body, "true") != len(ids) || !strings.Contains(body, `"1":false`) {
		t.Errorf("after the kill: %d %s", status, body)
	}
	eventually(t, "every acknowledged event is an alert", 30*time.Second, func() bool { return len(titles(t, h, "hec")) == 40 })
	if status, body := splunk(t, h, "/raw", "plain line", "another"); status != 200 || body != `{"text":"Success","code":0}` {
		t.Errorf("another token: %d %s", status, body)
	}
	eventually(t, "the token chooses the source", 30*time.Second, func() bool { return titles(t, h, "hec2")["plain line"] == 1 })
	if status, body := splunk(t, h, "/event", "{}", "wrong"); status != 403 || body != `{"text":"Invalid token","code":4}` {
		t.Errorf("a wrong token: %d %s", status, body)
	}
}

// Syslog over UDP and TCP: what a rule fits, and CEF, become alerts; the sockets
// are open again after a restart.
func TestSyslog(t *testing.T) {
	h, addr := withSources(t)
	want := map[string]bool{"Failed password for root from 203.0.113.7 port 22 ssh2": true, "Policy violation": true}
	for round := range 2 {
		for _, network := range []string{"udp", "tcp"} {
			c, err := net.Dial(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{
				"<86>Nov 20 10:00:0%d web1 sshd[1]: Failed password for root from 203.0.113.7 port 22 ssh2",
				"<134>Nov 20 10:00:0%d fw1 CEF:0|Vendor|Firewall|9|drop|Policy violation|9|src=10.0.0.8 dst=198.51.100.9",
				"<30>Nov 20 10:00:0%d web1 cron: nothing to see",
			} {
				if _, err := fmt.Fprintf(c, line+"\n", 2*round+len(network)%2); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
		}
		// What a sender sees as sent may not have been read yet.
		eventually(t, fmt.Sprintf("the lines of round %d are read", round), timeLong, func() bool {
			found := titles(t, h, "sys")
			for title := range want {
				if found[title] < int64(round+1) {
					return false
				}
			}
			return true
		})
		stop(t, h)
		up(t, h)
	}
	for title := range titles(t, h, "sys") {
		if !want[title] {
			t.Errorf("there is an alert %q", title)
		}
	}
}
