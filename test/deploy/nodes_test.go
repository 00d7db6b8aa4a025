package deploy

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
	"github.com/tocsin/tocsin/test/services"
	"github.com/tocsin/tocsin/test/sim/cybervault"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tocsin-deploy-*")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return rig.Build(ctx, dir)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// A world is what docker-compose.yml puts around the hubs.
type world struct {
	env      map[string]string // what deploy/up makes
	postgres string            // URL of an empty database
	kafka    *services.KafkaServer
	elastic  *services.ElasticsearchServer
}

// newWorld starts the servers with the settings of docker-compose.yml, all but
// addresses and folders.
func newWorld(t *testing.T, c compose) *world {
	t.Helper()
	dir := t.TempDir()
	// The rig speaks with a key of its own, and its receivers are on this machine.
	own := "TOCSIN_API_KEY=" + rig.Key + "\nTOCSIN_RELAY_ALLOW_NETWORKS=127.0.0.0/8\n"
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &world{env: up(t, dir)}
	settings := map[string]string{}
	for name, value := range c.Services["kafka"].Environment {
		property := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "KAFKA_"), "_", "."))
		switch {
		case strings.Contains(property, "listener"), strings.HasPrefix(property, "controller"), strings.HasPrefix(property, "sasl"),
			slices.Contains([]string{"node.id", "process.roles", "log.dirs", "heap.opts"}, property):
			continue // addresses, folders, and how the server is started
		}
		settings[property] = interpolate(t, value, w.env)
	}
	if settings["message.max.bytes"] == "" || settings["auto.create.topics.enable"] == "" {
		t.Errorf("of Kafka's settings only %v are left", settings)
	}
	var all sync.WaitGroup
	all.Go(func() {
		w.kafka = services.Kafka(t, services.KafkaOptions{Users: map[string]string{"tocsin": w.env["KAFKA_PASSWORD"]}, Settings: settings})
	})
	all.Go(func() {
		w.elastic = services.Elasticsearch(t, services.ElasticsearchOptions{Password: w.env["ELASTIC_PASSWORD"]})
	})
	w.postgres = services.Postgres(t).DSN(t)
	all.Wait()
	if w.kafka == nil || w.elastic == nil {
		t.Skip("without Kafka and Elasticsearch there are no nodes") // the reason is told above
	}
	return w
}

// node prepares a hub with the very environment of a service, addresses and
// folders replaced.
func (w *world) node(t *testing.T, c compose, name, dir, config string) *rig.Hub {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	h, err := rig.NewHub(binary, filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	h.Config = config
	for v, value := range c.Services[name].Environment {
		value = interpolate(t, value, w.env)
		switch v {
		case "TOCSIN_STORE_URL":
			value = w.database(t, value)
		case "TOCSIN_BUS_KAFKA_BROKERS":
			value = strings.Join(w.kafka.BrokersAt(services.SASL), ",")
		case "TOCSIN_AUDIT_KEY_FILE":
			value = filepath.Join(dir, value)
			if err := os.MkdirAll(filepath.Dir(value), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		h.Env = append(h.Env, v+"="+value)
	}
	t.Cleanup(func() {
		if err := h.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s's last words:\n%s", name, h.Stderr())
		}
	})
	return h
}

// database puts the address of the real database into the URL, and leaves user
// and password as they are.
func (w *world) database(t *testing.T, given string) string {
	t.Helper()
	from, err := url.Parse(given)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(w.postgres)
	if err != nil {
		t.Fatal(err)
	}
	to.User = from.User
	return to.String()
}

// config copies the hubs' configuration, with the address of Elasticsearch
// replaced and a source added, so that it has metrics.
func (w *world) config(t *testing.T, dir, source string) string {
	t.Helper()
	shipped := read(t, "deploy/hub/tocsin.yaml")
	// The distribution for tests cannot install all that the hub would.
	text := strings.Replace(shipped, "http://elasticsearch:9200", w.elastic.URL()+"\n    setup: false", 1)
	text += fmt.Sprintf("\nconnectors:\n  - {name: vault, kind: cybervault, base_url: %q, token: %q, interval: 5s}\n", source+"/v2", cybervault.DefaultToken)
	path := filepath.Join(dir, "tocsin.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The two hubs of docker-compose.yml work as it sets them up: what one takes the
// other shows, and Elasticsearch has; and the shipped rules and dashboard ask for
// metrics that they have.
func TestNodesOfCompose(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Kafka, PostgreSQL and Elasticsearch")
	}
	c, dir := readCompose(t), t.TempDir()
	w := newWorld(t, c)
	source := startVault(t)
	config := w.config(t, dir, source)
	w.prepareElastic(t)
	one, two := w.node(t, c, "hub-1", dir, config), w.node(t, c, "hub-2", dir, config)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, h := range []*rig.Hub{one, two} { // in the order of depends_on
		if _, err := h.Up(ctx); err != nil {
			t.Fatal(err)
		}
		healthy(t, h)
	}
	receiver, err := rig.NewReceiver(func(rig.Hook) rig.Answer { return rig.Answer{} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = receiver.Close() })
	if _, err := one.Webhook(ctx, receiver, "/hook", map[string]any{"events": []string{"alert.*"}}); err != nil {
		t.Fatal(err)
	}
	var done struct {
		AlertID string `json:"alert_id"`
	}
	finding := map[string]any{"type": "malware", "asset_id": "host-1", "severity": "critical", "title": "from hub-1"}
	if err := one.Post(ctx, "/findings?wait=true", finding, &done); err != nil {
		t.Fatal(err)
	}
	var alert struct {
		Title string `json:"title"`
	}
	if err := two.Get(ctx, "/alerts/"+done.AlertID, &alert); err != nil || alert.Title != "from hub-1" {
		t.Errorf("the other node shows %+v, %v", alert, err)
	}
	w.inElastic(ctx, t, done.AlertID)
	if n, err := one.Metric(ctx, "tocsin_nodes"); err != nil || n != 2 {
		t.Errorf("the first node sees %v nodes, %v", n, err)
	}
	pages := scrape(ctx, t, []*rig.Hub{one, two}, "tocsin_connector_last_success_timestamp_seconds", "tocsin_relay_deliveries_total", "tocsin_elasticsearch_paused")
	checkPage(t, pages[0])
	checkExpressions(t, strings.Join(pages, "\n"))
	for _, h := range []*rig.Hub{one, two} {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// healthy runs the image's health check against a node.
func healthy(t *testing.T, h *rig.Hub) {
	t.Helper()
	_, check, _ := strings.Cut(last(t, "HEALTHCHECK"), "CMD ")
	words := list(t, check)[1:]
	for i, word := range words {
		if strings.HasPrefix(word, "http://") {
			words[i] = h.URL("")
		}
	}
	if code, out, err := h.Run(t.Context(), words...); err != nil || code != 0 {
		t.Errorf("%v: %d, %s, %v", words, code, out, err)
	}
}

// startVault starts a source that has an alert.
func startVault(t *testing.T) string {
	t.Helper()
	sim := cybervault.New(cybervault.Options{Options: unkind.Options{Kind: true}})
	sim.Add(1)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return server.URL
}

// prepareElastic makes what the first use of a whole Elasticsearch would.
func (w *world) prepareElastic(t *testing.T) {
	t.Helper()
	for name, template := range map[string]string{
		"changes": `{"index_patterns":["logs-tocsin.*-*"],"priority":600,"data_stream":{},"template":{"settings":{"number_of_replicas":0},"mappings":{"dynamic":false,"properties":{"@timestamp":{"type":"date"}}}}}`,
		"states":  `{"index_patterns":["tocsin-alerts-*"],"priority":600,"template":{"settings":{"number_of_replicas":0},"mappings":{"dynamic":false}}}`,
	} {
		if status, text := w.askElastic(t.Context(), t, http.MethodPut, "/_index_template/"+name, template); status != http.StatusOK {
			t.Fatalf("make a template: %d %s", status, text)
		}
	}
}

func (w *world) askElastic(ctx context.Context, t *testing.T, method, path, body string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, w.elastic.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(services.ElasticUser, w.env["ELASTIC_PASSWORD"])
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body) // half an answer says enough
	return res.StatusCode, string(b)
}

// inElastic waits until Elasticsearch has an alert.
func (w *world) inElastic(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	status, text := 0, ""
	err := rig.Poll(ctx, 100*time.Millisecond, func() bool {
		status, text = w.askElastic(ctx, t, http.MethodGet, "/tocsin-alerts-default/_doc/"+id, "")
		return status == http.StatusOK
	})
	if err != nil {
		t.Errorf("the alert did not come to Elasticsearch, which last said %d %s", status, text)
	}
}

// scrape gives the pages of metrics of all nodes, once they have those that come
// a little later.
func scrape(ctx context.Context, t *testing.T, nodes []*rig.Hub, late ...string) []string {
	t.Helper()
	pages := map[string]string{}
	err := rig.Poll(ctx, 100*time.Millisecond, func() bool {
		all := ""
		for _, h := range nodes {
			r, err := h.Call(ctx, http.MethodGet, "/metrics", nil)
			if err != nil {
				return false
			}
			pages[h.Addr] = string(r.Body)
			all += string(r.Body)
		}
		return !slices.ContainsFunc(late, func(name string) bool { return !strings.Contains(all, "\n"+name) })
	})
	if err != nil {
		t.Errorf("the nodes do not show all of %v", late)
	}
	return slices.Collect(maps.Values(pages))
}
