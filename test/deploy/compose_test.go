package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/internal/ops"
)

// root is the folder of the repository.
const root = "../.."

// A service of docker-compose.yml, as far as it matters here.
type service struct {
	Build       map[string]any    `yaml:"build"`
	Image       string            `yaml:"image"`
	Restart     string            `yaml:"restart"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	SecurityOpt []string          `yaml:"security_opt"`
	Environment map[string]string `yaml:"environment"`
	Command     []string          `yaml:"command"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	DependsOn   dependencies      `yaml:"depends_on"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
	Privileged  bool   `yaml:"privileged"`
	NetworkMode string `yaml:"network_mode"`
	User        string `yaml:"user"`
}

// dependencies are names of services with the condition that is waited for.
type dependencies map[string]string

// UnmarshalYAML takes both forms: a list, or a map with conditions.
func (d *dependencies) UnmarshalYAML(n *yaml.Node) error {
	*d = dependencies{}
	var list []string
	if n.Decode(&list) == nil {
		for _, name := range list {
			(*d)[name] = "service_started"
		}
		return nil
	}
	var long map[string]struct{ Condition string }
	if err := n.Decode(&long); err != nil {
		return err
	}
	for name, x := range long {
		(*d)[name] = x.Condition
	}
	return nil
}

type compose struct {
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func readCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	if err := yaml.Unmarshal([]byte(read(t, "docker-compose.yml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// references finds the variables of the shell's environment in a value.
var references = regexp.MustCompile(`\$\$|\$\{([A-Z_]+)(:?[-?])?([^}]*)\}|\$`)

// interpolate does what docker compose does with variables.
func interpolate(t *testing.T, value string, env map[string]string) string {
	t.Helper()
	return references.ReplaceAllStringFunc(value, func(ref string) string {
		m := references.FindStringSubmatch(ref)
		switch {
		case ref == "$$":
			return "$"
		case m[1] == "":
			t.Errorf("%q: a lone $, which docker compose refuses", value)
		case env[m[1]] != "":
			return env[m[1]]
		case m[2] == ":-":
			return m[3]
		default:
			t.Errorf("%q needs %s, which deploy/up does not make", value, m[1])
		}
		return ""
	})
}

// up runs deploy/up beside a copy of docker-compose.yml, with a docker that only
// notes how it is called. It gives the variables in .env.
func up(t *testing.T, dir string) map[string]string {
	t.Helper()
	for _, file := range []string{"docker-compose.yml", "deploy/up"} {
		to := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(read(t, file)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	docker := filepath.Join(dir, "bin", "docker")
	if err := os.MkdirAll(filepath.Dir(docker), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(docker, []byte("#!/bin/sh\necho \"$@\" >called\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "deploy", "up"), "--build")
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(docker)+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("deploy/up: %v\n%s", err, out)
	}
	called, err := os.ReadFile(filepath.Join(dir, "called"))
	if err != nil || string(called) != "compose up --detach --wait --build\n" {
		t.Errorf("deploy/up runs docker %q, %v", called, err)
	}
	env := map[string]string{}
	text, err := os.ReadFile(filepath.Join(dir, ".env"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	return env
}

func TestUpMakesSecrets(t *testing.T) {
	dir := t.TempDir()
	first := up(t, dir)
	if info, err := os.Stat(filepath.Join(dir, ".env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf(".env is %v, %v; want it readable by its owner only", info, err)
	}
	again, other := up(t, dir), up(t, t.TempDir())
	for name, value := range first {
		if again[name] != value {
			t.Errorf("a second run changes %s", name)
		}
		if name != "TOCSIN_ADMIN_EMAIL" && (len(value) < 48 || other[name] == value) {
			t.Errorf("%s is %q here and %q elsewhere: not random enough", name, value, other[name])
		}
	}
}

// exact is an image with a version that does not move.
var exact = regexp.MustCompile(`^[a-z0-9/-]+:v?\d+\.\d+(\.\d+)?$`)

func TestImages(t *testing.T) {
	c := readCompose(t)
	for name, s := range c.Services {
		if s.Build != nil {
			continue // the hub's own, called by its version
		}
		if !exact.MatchString(s.Image) {
			t.Errorf("%s: image %q has no exact version", name, s.Image)
		}
	}
	// What is tested is what is deployed.
	pom := read(t, "test/services/pom.xml")
	for name, artefact := range map[string]string{"kafka": "kafka_2.13", "elasticsearch": ""} {
		_, tag, _ := strings.Cut(c.Services[name].Image, ":")
		if !strings.Contains(pom, "<version>"+tag+"</version>") {
			t.Errorf("%s is deployed at %s, which is not the version in test/services/pom.xml %s", name, tag, artefact)
		}
	}
	from := regexp.MustCompile(`(?m)^FROM golang:(\S+) AS`).FindStringSubmatch(read(t, "Dockerfile"))
	wants := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "go.mod"))
	if from == nil || wants == nil || !strings.HasPrefix(from[1]+".", wants[1]+".") && from[1] < wants[1] {
		t.Errorf("the Dockerfile builds with Go %v and go.mod wants %v", from, wants)
	}
}

// keys are the variables that the hub knows.
func keys() map[string]bool {
	all := map[string]bool{"TOCSIN_ADMIN_EMAIL": true, "TOCSIN_ADMIN_PASSWORD": true, "TOCSIN_API_KEY": true}
	for _, k := range configs.Keys() {
		if k.Env != "" {
			all[k.Env] = true
		}
	}
	return all
}

func TestVariablesAreKnown(t *testing.T) {
	known := keys()
	if len(known) < 40 {
		t.Fatalf("only %d variables are known", len(known))
	}
	for name, s := range readCompose(t).Services {
		for v := range s.Environment {
			if strings.HasPrefix(v, "TOCSIN_") && !known[v] {
				t.Errorf("%s: the hub knows no %s", name, v)
			}
		}
	}
	for _, v := range regexp.MustCompile(`TOCSIN_[A-Z_]+=`).FindAllString(read(t, "Dockerfile"), -1) {
		if !known[strings.TrimSuffix(v, "=")] {
			t.Errorf("Dockerfile: the hub knows no %s", v)
		}
	}
}

// secretName tells a variable that holds a secret by its name.
var secretName = regexp.MustCompile(`PASSWORD|SECRET|API_KEY|TOKEN|JAAS|_URL$`)

func TestNoDefaultSecrets(t *testing.T) {
	for name, s := range readCompose(t).Services {
		for v, value := range s.Environment {
			if !secretName.MatchString(v) || v == "TOCSIN_SERVER_PUBLIC_URL" || strings.HasSuffix(v, "_FILE") {
				continue
			}
			if !regexp.MustCompile(`\$\{[A-Z_]+:\?`).MatchString(value) {
				t.Errorf("%s: %s is %q, which is no reference without a default", name, v, value)
			}
			if regexp.MustCompile(`(?i)password="[^"]|:[^/@][^@]*@`).MatchString(references.ReplaceAllString(value, "")) {
				t.Errorf("%s: %s has a secret in it", name, v)
			}
		}
	}
}

func TestServices(t *testing.T) {
	c := readCompose(t)
	for name, s := range c.Services {
		if s.Restart != "unless-stopped" || s.Privileged || s.NetworkMode != "" {
			t.Errorf("%s: restart %q, privileged %v, network %q", name, s.Restart, s.Privileged, s.NetworkMode)
		}
		if len(s.Healthcheck.Test) == 0 && s.Build == nil {
			t.Errorf("%s has no health check", name)
		}
		for on, condition := range s.DependsOn {
			if _, there := c.Services[on]; !there {
				t.Errorf("%s waits for %s, which there is not", name, on)
			}
			if s.Build != nil && condition != "service_healthy" {
				t.Errorf("%s does not wait until %s is healthy", name, on)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other machines", name, p)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			_, declared := c.Volumes[from]
			_, err := os.Stat(filepath.Join(root, from))
			if !declared && err != nil {
				t.Errorf("%s: there is no volume or folder %s", name, from)
			}
			if !declared && !strings.HasSuffix(v, ":ro") {
				t.Errorf("%s may write to %s", name, from)
			}
		}
		if s.Build != nil && (!s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true")) {
			t.Errorf("%s may write to its root or gain rights: %v %v %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
	}
	for _, needed := range []string{"hub-1", "hub-2", "kafka", "postgres", "elasticsearch", "prometheus", "grafana"} {
		if _, there := c.Services[needed]; !there {
			t.Errorf("there is no %s", needed)
		}
	}
}

// The hubs would start with what they are given.
func TestConfigurationIsRight(t *testing.T) {
	c, env := readCompose(t), up(t, t.TempDir())
	var environ []string
	for v, value := range c.Services["hub-1"].Environment {
		environ = append(environ, v+"="+interpolate(t, value, env))
	}
	report, err := ops.Check(filepath.Join(root, "deploy/hub/tocsin.yaml"), environ)
	if err != nil || !report.OK {
		t.Errorf("tocsin check: %v, %v", report, err)
	}
}

// Whatever one service calls another is what the other is called and where it
// listens.
func TestServicesFindEachOther(t *testing.T) {
	c, env := readCompose(t), up(t, t.TempDir())
	of := func(service, name string) string { return interpolate(t, c.Services[service].Environment[name], env) }
	for _, hub := range []string{"hub-1", "hub-2"} {
		want := fmt.Sprintf("postgres://%s:%s@postgres:5432/%s", of("postgres", "POSTGRES_USER"), of("postgres", "POSTGRES_PASSWORD"), of("postgres", "POSTGRES_DB"))
		if got := of(hub, "TOCSIN_STORE_URL"); got != want {
			t.Errorf("%s: TOCSIN_STORE_URL is %s, want %s", hub, got, want)
		}
		if got, on := of(hub, "TOCSIN_BUS_KAFKA_BROKERS"), of("kafka", "KAFKA_ADVERTISED_LISTENERS"); on != "HUB://"+got {
			t.Errorf("%s looks for Kafka at %s, which is at %s", hub, got, on)
		}
		user := fmt.Sprintf(`user_%s="%s";`, of(hub, "TOCSIN_BUS_KAFKA_USERNAME"), of(hub, "TOCSIN_BUS_KAFKA_PASSWORD"))
		if jaas := of("kafka", "KAFKA_LISTENER_NAME_HUB_PLAIN_SASL_JAAS_CONFIG"); !strings.HasSuffix(jaas, user) {
			t.Errorf("Kafka does not know %s's user and password: %s", hub, jaas)
		}
		if of(hub, "ELASTIC_PASSWORD") != of("elasticsearch", "ELASTIC_PASSWORD") {
			t.Errorf("%s has another password for Elasticsearch", hub)
		}
	}
	if a, b := of("hub-1", "TOCSIN_SERVER_NODE"), of("hub-2", "TOCSIN_SERVER_NODE"); a != "hub-1" || b != "hub-2" {
		t.Errorf("the nodes call themselves %s and %s", a, b)
	}
	if !strings.Contains(read(t, "deploy/hub/tocsin.yaml"), "url: http://elasticsearch:9200\n") {
		t.Error("the hubs' configuration looks for Elasticsearch elsewhere")
	}
	if !strings.Contains(read(t, "deploy/prometheus/prometheus.yml"), `targets: ["hub-1:8080", "hub-2:8080"]`) {
		t.Error("Prometheus does not look at both hubs")
	}
	if !strings.Contains(read(t, "deploy/grafana/provisioning/datasources/prometheus.yml"), "http://prometheus:9090") {
		t.Error("Grafana does not ask Prometheus")
	}
}
