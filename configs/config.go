// Package configs reads the hub's configuration: one YAML file, overridden by
// environment variables, checked as a whole.
//
// [Load] refuses unknown keys and reports every [Problem] at once, each with
// file, line and path. Every section is a struct here; its fields carry in tags
// the name, the sentence that documents them and the bounds they are held to,
// and [Keys] lists them all. Defaults stand in one place, [Default].
//
// A value may refer to a secret as ${env:NAME} or ${file:PATH}, which is
// replaced while loading; $${ stands for the text ${, and ${{ is left alone,
// because playbooks and mappings use it. A path after file: and those in
// playbooks.paths are taken from the folder of the config file; the paths the
// hub writes to are taken from the folder it runs in.
//
// Every scalar and list that is not inside a list or map of entries can be set
// by the variable TOCSIN_<SECTION>_<KEY>, lists with commas; an empty variable
// counts as not set. Entries of connectors stay [Raw] for the package that owns
// their kind, as expressions, playbooks and mappings do. What others find wrong
// with them is put at its place by [Config.Faults].
package configs

import (
	_ "embed"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/tocsin/tocsin/internal/ratelimit"
	"github.com/tocsin/tocsin/internal/secret"
)

// Sample is tocsin.yaml: every key with its default and a comment, and examples
// of endpoints, connectors and profiles behind a #.
//
//go:embed tocsin.yaml
var Sample []byte

// A Config is everything that can be configured. One that [Load] gave with an
// error is for looking at, not for running.
type Config struct {
	Server     Server      `yaml:"server" doc:"The HTTP side of the hub."`
	Store      Store       `yaml:"store" doc:"Where everything is kept."`
	Bus        Bus         `yaml:"bus" doc:"The durable queue between accepting findings, triage and delivery."`
	Dedup      Dedup       `yaml:"dedup" doc:"When findings are one alert."`
	Playbooks  Playbooks   `yaml:"playbooks" doc:"Automatic responses."`
	Relay      Relay       `yaml:"relay" doc:"What holds for deliveries to every endpoint."`
	Endpoints  []Endpoint  `yaml:"endpoints" doc:"Far sides that events are sent to. Those made over the API stand beside these."`
	Slack      Slack       `yaml:"slack" doc:"The app that the hub is at Slack, for installing it with a click and for its buttons. An endpoint may bring an app of its own."`
	Connectors []Connector `yaml:"connectors" doc:"Source systems. What else an entry takes depends on its kind; see the page of the connector."`
	Audit      Audit       `yaml:"audit" doc:"The tamper-evident log."`
	Limits     Limits      `yaml:"limits" doc:"How many requests a caller may make."`
	Log        Log         `yaml:"log" doc:"What the hub tells on standard error."`

	places map[string]place // of every value that was given
}

// Server is the section server.
type Server struct {
	Listen          string        `yaml:"listen" doc:"Address and port to serve on. Put a proxy with TLS in front before opening it to others."`
	PublicURL       string        `yaml:"public_url" doc:"The hub's address as others see it: the source of its events and the start of its links. Empty for http:// and listen."`
	BodyLimit       Size          `yaml:"body_limit" min:"1KiB" max:"256MiB" doc:"Longest request body; a longer one is answered with 413."`
	ReadTimeout     time.Duration `yaml:"read_timeout" min:"1s" max:"10m" doc:"How long a client may take to send a request."`
	IdleTimeout     time.Duration `yaml:"idle_timeout" min:"1s" max:"1h" doc:"How long a connection may stay open without a request."`
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout" min:"1s" max:"10m" doc:"How long a clean stop may take before what still runs is cut off. Nothing that was accepted is lost either way."`
	DrainTime       time.Duration `yaml:"drain_time" min:"0s" max:"5m" doc:"How long a node of several goes on taking requests after it was asked to stop, while /ready answers 503, so that a load balancer turns to the others first. A hub that is alone stops at once."`
	Metrics         bool          `yaml:"metrics" doc:"Serve /metrics for Prometheus on the same address."`
	Node            string        `yaml:"node" doc:"What this process is called among several over one database, in logs and in the list of nodes. Empty for the name of the machine."`
}

// Store is the section store.
type Store struct {
	Dir       string        `yaml:"dir" doc:"Folder for the database, keys and first credentials. It is made if it is missing."`
	URL       secret.Secret `yaml:"url" doc:"Which database. Empty for the file tocsin.db in dir; sqlite:PATH for a file elsewhere; postgres://user:password@host/database for several nodes, together with bus.kind kafka."`
	CacheSize Size          `yaml:"cache_size" min:"1MiB" max:"64GiB" doc:"Memory for database pages. For SQLite only."`
	PoolSize  int           `yaml:"pool_size" min:"2" max:"1000" doc:"Connections for reading. For PostgreSQL only; one more is for writing."`

	SecretKeys []secret.Secret `yaml:"secret_keys" doc:"Keys that seal the secrets of endpoints in the database, each 32 random bytes in base64. The first seals, those after it still open what they sealed."`
}

// Bus is the section bus.
type Bus struct {
	Kind              string        `yaml:"kind" enum:"embedded,kafka" doc:"Which queue. The embedded one lives in the store and serves one node; kafka serves any number, with a PostgreSQL store."`
	Window            int           `yaml:"window" min:"1" max:"10000" doc:"Messages in work at a time; their effects are committed together."`
	MaxBacklog        int           `yaml:"max_backlog" min:"1" max:"100000000" doc:"Accepted findings that may wait for triage. While more wait, new ones are answered with 503."`
	FindingsRetention time.Duration `yaml:"findings_retention" min:"1h" max:"3650d" doc:"How long the queue keeps findings that have been worked on."`
	EventsRetention   time.Duration `yaml:"events_retention" min:"1h" max:"3650d" doc:"How long events can be replayed."`
	Partitions        int           `yaml:"partitions" min:"1" max:"1024" doc:"Parts of a topic that can be worked on side by side. Choose it before the first start. With kafka, 1 stands for 12."`
	Kafka             Kafka         `yaml:"kafka" doc:"How Kafka is reached, if kind says so."`
}

// Kafka is the section bus.kafka.
type Kafka struct {
	Brokers     []string      `yaml:"brokers" doc:"Addresses of one or more brokers, as host:port."`
	TopicPrefix string        `yaml:"topic_prefix" doc:"What the names of topics and groups start with."`
	Replication int           `yaml:"replication" min:"1" max:"10" doc:"Copies of each topic that the hub makes. 3 outlives the loss of a broker."`
	MinInsync   int           `yaml:"min_insync" min:"1" max:"10" doc:"Copies that must have a message before it counts as accepted. 2 of 3 is usual."`
	TLS         bool          `yaml:"tls" doc:"Encrypt connections and check the brokers' certificates."`
	CAFile      string        `yaml:"ca_file" path:"beside" doc:"Certificates to trust in place of the system's, as PEM."`
	CertFile    string        `yaml:"cert_file" path:"beside" doc:"This hub's own certificate, as PEM, where brokers ask for one."`
	KeyFile     string        `yaml:"key_file" path:"beside" doc:"The key of cert_file."`
	SASL        string        `yaml:"sasl" enum:"none,plain,scram-sha-256,scram-sha-512" doc:"How the hub signs in."`
	Username    string        `yaml:"username" doc:"For sasl."`
	Password    secret.Secret `yaml:"password" doc:"For sasl."`
}

// Dedup is the section dedup.
type Dedup struct {
	ReopenWindow time.Duration      `yaml:"reopen_window" min:"0s" max:"365d" doc:"A finding that comes back within this time after its alert was resolved reopens that alert; later it makes a new one."`
	Profiles     map[string]Profile `yaml:"profiles" key:"source" doc:"What differs by source, under the source's name."`
}

// A Profile says what makes findings of one source the same.
type Profile struct {
	Discriminators []string       `yaml:"discriminators" doc:"JSON pointers into the finding's payload whose values set findings of one type on one asset apart. Used where the source gives no id of its own."`
	SharedAsset    bool           `yaml:"shared_asset" doc:"Other sources name the same assets alike, so their findings may be the same alert."`
	ReopenWindow   *time.Duration `yaml:"reopen_window" min:"0s" max:"365d" doc:"In place of dedup.reopen_window for this source."`
	Volatile       []string       `yaml:"volatile" doc:"JSON pointers into the payload whose values change without meaning, such as counters and scan ids."`
}

// Playbooks is the section playbooks.
type Playbooks struct {
	Paths []string `yaml:"paths" path:"beside" doc:"Files, and folders whose .yaml files are taken. Relative ones are beside the config file."`
}

// Audit is the section audit.
type Audit struct {
	KeyFile            string        `yaml:"key_file" doc:"The key that signs checkpoints; made at the first start. Empty for audit.key in store.dir. Better on another disk than the database."`
	CheckpointFile     string        `yaml:"checkpoint_file" doc:"A copy of the checkpoints outside the database, only ever appended to. Empty for audit.checkpoints in store.dir. Better where the database's administrator cannot write."`
	CheckpointInterval time.Duration `yaml:"checkpoint_interval" min:"100ms" max:"24h" doc:"A checkpoint is copied at least this often while there are new entries: the time that could be rewritten unnoticed."`
	CheckpointEntries  int           `yaml:"checkpoint_entries" min:"1" max:"1000000" doc:"A checkpoint is copied at the latest after so many entries."`
}

// Limits is the section limits. The plans' numbers are in package ratelimit.
type Limits struct {
	Plan       ratelimit.Plan `yaml:"plan" enum:"starter,professional,enterprise,unlimited" doc:"Requests of each API key or user: starter 60 a minute with bursts of 15, professional 300 and 50, enterprise 1200 and 200."`
	IngestPlan ratelimit.Plan `yaml:"ingest_plan" enum:"starter,professional,enterprise,unlimited" doc:"The same for submitting findings, which counts apart."`
}

// Log is the section log.
type Log struct {
	Level  string `yaml:"level" enum:"debug,info,warn,error" doc:"The least important messages shown."`
	Format string `yaml:"format" enum:"text,json" doc:"One line of key=value pairs, or one JSON object, a message."`
}

// Default gives the configuration of a hub that was told nothing.
func Default() *Config {
	return &Config{
		Server: Server{
			Listen: "127.0.0.1:8080", BodyLimit: 5 << 20, ReadTimeout: 30 * time.Second,
			IdleTimeout: 2 * time.Minute, ShutdownTimeout: 20 * time.Second, DrainTime: 5 * time.Second, Metrics: true,
		},
		Store: Store{Dir: "./tocsin-data", CacheSize: 64 << 20, PoolSize: 8},
		Bus: Bus{
			Kind: "embedded", Window: 256, MaxBacklog: 1_000_000,
			FindingsRetention: 7 * day, EventsRetention: 30 * day, Partitions: 1,
			Kafka: Kafka{TopicPrefix: "tocsin.", Replication: 1, MinInsync: 1, SASL: "none"},
		},
		Dedup: Dedup{ReopenWindow: day},
		Relay: Relay{
			Workers: 16, Timeout: 15 * time.Second, Jitter: 0.1, UserAgent: "Tocsin",
			Breaker: 10, ProbeAfter: 5 * time.Second, ProbeMax: 5 * time.Minute,
			Schedule: []time.Duration{
				5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
				10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
			},
		},
		Audit:  Audit{CheckpointInterval: 10 * time.Second, CheckpointEntries: 1024},
		Limits: Limits{Plan: ratelimit.Unlimited, IngestPlan: ratelimit.Unlimited},
		Log:    Log{Level: "info", Format: "text"},
	}
}

// BaseURL gives the hub's own address without a slash at the end: public_url,
// or else what listen makes of it. Ask after flags have been applied.
func (s *Server) BaseURL() string {
	if s.PublicURL != "" {
		return strings.TrimRight(s.PublicURL, "/")
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return "http://" + s.Listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// File gives the path of the database.
func (s *Store) File() string {
	if path, ok := strings.CutPrefix(s.URL.Reveal(), sqliteScheme); ok {
		return path
	}
	return filepath.Join(s.Dir, "tocsin.db")
}

// Postgres reports whether the database is a PostgreSQL, which several nodes may
// share.
func (s *Store) Postgres() bool {
	return strings.HasPrefix(s.URL.Reveal(), "postgres://") || strings.HasPrefix(s.URL.Reveal(), "postgresql://")
}

// KeyFile gives the path of the audit log's key.
func (c *Config) KeyFile() string {
	return or(c.Audit.KeyFile, filepath.Join(c.Store.Dir, "audit.key"))
}

// CheckpointFile gives the path of the audit log's copied checkpoints.
func (c *Config) CheckpointFile() string {
	return or(c.Audit.CheckpointFile, filepath.Join(c.Store.Dir, "audit.checkpoints"))
}

func or(given, otherwise string) string {
	if given != "" {
		return given
	}
	return otherwise
}

// Slog gives the level as slog has it.
func (l *Log) Slog() slog.Level {
	switch l.Level {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// Window gives the reopen window of a source.
func (d *Dedup) Window(source string) time.Duration {
	if p := d.Profiles[source]; p.ReopenWindow != nil {
		return *p.ReopenWindow
	}
	return d.ReopenWindow
}
