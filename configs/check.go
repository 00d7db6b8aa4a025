package configs

import (
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sqliteScheme starts a store.url that names a file.
const sqliteScheme = "sqlite:"

// check reports what each value by itself did not show.
func (l *loader) check(c *Config) {
	l.checkServer(&c.Server)
	l.checkStore(&c.Store)
	l.checkBus(&c.Bus, &c.Store)
	l.checkDedup(&c.Dedup)
	l.checkPlaybooks(&c.Playbooks)
	l.checkRelay(&c.Relay)
	l.checkEndpoints(c.Endpoints)
	l.checkSlack(&c.Slack)
	l.checkConnectors(c.Connectors)
}

// wrong reports a problem with the value at path, unless that or what is around
// it could not be read, which has been reported.
func (l *loader) wrong(path, text string) {
	for p := path; p != ""; p = around(p) {
		if l.bad[p] {
			return
		}
	}
	l.report(nearest(l.places, path), path, text)
}

func (l *loader) checkServer(s *Server) {
	host, port, err := net.SplitHostPort(s.Listen)
	_, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || strings.ContainsAny(host, " /") {
		l.wrong("server.listen", l.quote("server.listen", s.Listen)+" is not an address; write host:port, such as 127.0.0.1:8080, or :8080 for every interface")
	}
	if s.PublicURL != "" {
		if fault := urlFault(s.PublicURL, "https://tocsin.example.com"); fault != "" {
			l.wrong("server.public_url", fault)
		} else if strings.Contains(s.PublicURL, "?") {
			l.wrong("server.public_url", "has a query; write the address only, such as https://tocsin.example.com")
		}
	}
}

func (l *loader) checkStore(s *Store) {
	if s.Dir == "" {
		l.wrong("store.dir", "is empty; name a folder, such as ./tocsin-data")
	}
	if s.URL.IsZero() || s.Postgres() {
		return
	}
	if path, ok := strings.CutPrefix(s.URL.Reveal(), sqliteScheme); !ok || strings.Trim(path, "/") == "" {
		l.wrong("store.url", "no such store; leave this empty for tocsin.db in store.dir, or write sqlite:/path/to/file.db or postgres://user:password@host/database")
	}
}

// checkBus sees to it that bus and store fit each other: the embedded bus lives
// in memory as much as in the store, so there can be one only, and Kafka without
// a store that all nodes share would make each node a hub of its own.
func (l *loader) checkBus(b *Bus, s *Store) {
	kafka := b.Kind == "kafka"
	switch {
	case kafka && !s.Postgres():
		l.wrong("bus.kind", "kafka needs a store that all nodes share; write postgres://user:password@host/database into store.url")
	case !kafka && s.Postgres():
		l.wrong("bus.kind", "a PostgreSQL store needs bus.kind kafka; for one node without services leave store.url empty")
	}
	if !kafka {
		return
	}
	if len(b.Kafka.Brokers) == 0 {
		l.wrong("bus.kafka.brokers", "is empty; name a broker, such as kafka:9092")
	}
	for i, addr := range b.Kafka.Brokers {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
			at := index("bus.kafka.brokers", i)
			l.wrong(at, l.quote(at, addr)+" is not an address; write host:port, such as kafka:9092")
		}
	}
	l.checkKafka(&b.Kafka)
}

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9._-]{0,100}$`)

func (l *loader) checkKafka(k *Kafka) {
	const at = "bus.kafka."
	if !prefixForm.MatchString(k.TopicPrefix) {
		l.wrong(at+"topic_prefix", l.quote(at+"topic_prefix", k.TopicPrefix)+" cannot start the name of a topic; write up to 100 of a-z, A-Z, 0-9, dots, - and _")
	}
	if k.MinInsync > k.Replication {
		l.wrong(at+"min_insync", "is more than bus.kafka.replication; no message could ever be accepted")
	}
	if (k.CertFile == "") != (k.KeyFile == "") {
		l.wrong(at+"cert_file", "and key_file belong together; give both or neither")
	}
	if !k.TLS && (k.CAFile != "" || k.CertFile != "") {
		l.wrong(at+"tls", "is false, but certificates are given; write true")
	}
	if k.SASL != "none" && (k.Username == "" || k.Password.IsZero()) {
		l.wrong(at+"sasl", "needs bus.kafka.username and bus.kafka.password")
	}
}

func (l *loader) checkDedup(d *Dedup) {
	for source, p := range d.Profiles {
		at := join("dedup.profiles", source)
		if source == "" {
			l.wrong(at, "has no name; write the name of the source its findings carry")
		}
		l.checkPointers(join(at, "discriminators"), p.Discriminators)
		l.checkPointers(join(at, "volatile"), p.Volatile)
		for i, v := range p.Volatile {
			if slices.Contains(p.Discriminators, v) {
				l.wrong(index(join(at, "volatile"), i), "is a discriminator too; a value that changes without meaning cannot tell findings apart, so remove one of the two")
			}
		}
	}
}

var pointerForm = regexp.MustCompile(`^(/([^~/]|~[01])*)+$`)

func (l *loader) checkPointers(path string, pointers []string) {
	seen := map[string]bool{}
	for i, p := range pointers {
		at := index(path, i)
		switch {
		case !pointerForm.MatchString(p):
			l.wrong(at, l.quote(at, p)+" is not a JSON pointer; write for example /rule/id, with ~1 for a / inside a name")
		case seen[p]:
			l.wrong(at, l.quote(at, p)+" is there twice; remove one")
		}
		seen[p] = true
	}
}

func (l *loader) checkPlaybooks(p *Playbooks) {
	for i, path := range p.Paths {
		at := index("playbooks.paths", i)
		if _, err := os.Stat(path); err != nil {
			l.wrong(at, "the file or folder "+l.quote(at, path)+" cannot be read: "+cause(err).Error()+"; make it, or name another")
		}
	}
}

var agentForm = regexp.MustCompile(`^[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?$`)

func (l *loader) checkRelay(r *Relay) {
	if len(r.Schedule) > 100 {
		l.wrong("relay.schedule", "has more than 100 waits; give fewer and longer ones")
	}
	if r.ProbeMax < r.ProbeAfter {
		l.wrong("relay.probe_max", "is less than probe_after; write a longer time")
	}
	if fault := proxyFault(r.Proxy.Reveal()); fault != "" {
		l.wrong("relay.proxy", fault)
	}
	if !agentForm.MatchString(r.UserAgent) {
		l.wrong("relay.user_agent", "must be 1 to 200 printable ASCII characters, such as Tocsin")
	}
}

// proxyFault says what is wrong with a proxy's URL, without repeating it: it may
// hold a password.
func proxyFault(text string) string {
	u, err := url.Parse(text)
	if text == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && (u.Path == "" || u.Path == "/") && u.RawQuery == "" {
		return ""
	}
	return "is not the URL of a proxy; write one such as http://proxy.example.com:3128"
}

// nameForm is what names of endpoints and connectors look like: they stand in
// paths and metrics.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// checkName reports a name that is missing, malformed or taken. Taken maps
// names to the path of who has them.
func (l *loader) checkName(path, name string, taken map[string]string) {
	at := join(path, "name")
	switch first, twice := taken[name]; {
	case name == "":
		l.wrong(at, "is missing; give a name that is unique, such as soc")
	case !nameForm.MatchString(name):
		l.wrong(at, l.quote(at, name)+" is not a name; write 1 to 63 of a-z, 0-9, - and _, starting with a letter or digit")
	case twice:
		l.wrong(at, l.quote(at, name)+" is the name of "+first+" already; give each its own")
	default:
		taken[name] = path
	}
}

func (l *loader) checkConnectors(connectors []Connector) {
	taken := map[string]string{}
	for i, c := range connectors {
		path := index("connectors", i)
		l.checkName(path, c.Name, taken)
		if c.Kind == "" {
			l.wrong(join(path, "kind"), "is missing; name the source system, such as cybervault or webhook")
		}
	}
}

// urlFault says what is wrong with an address, "" if nothing. It repeats none
// of it, because addresses carry tokens.
func urlFault(text, example string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "is not an http or https address; write for example " + example
	case u.User != nil:
		return "has a user name or password in it; put them in the fields meant for them"
	case strings.Contains(text, "#"):
		return "has a # in it; write the address without that and what follows"
	case u.Hostname() == "" || u.Port() != "" && !portFits(u.Port()):
		return "has no host or an impossible port; write for example " + example
	}
	return ""
}

func portFits(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// quote gives the text at path for a problem, if it may be shown.
func (l *loader) quote(path, text string) string {
	if l.hidden[path] {
		return "the value"
	}
	return quoted(text)
}

func quoted(text string) string {
	if len(text) > 60 {
		return strconv.Quote(text[:60]) + "…"
	}
	return strconv.Quote(text)
}
