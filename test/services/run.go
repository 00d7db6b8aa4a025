package services

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
)

// names are the servers that [Run] knows.
var names = []string{"kafka", "postgres", "elasticsearch"}

// Addresses say where running servers are. What was not started is empty.
type Addresses struct {
	Kafka         []string `json:"kafka,omitempty"`         // brokers
	Postgres      string   `json:"postgres,omitempty"`      // DSN of an empty database
	Elasticsearch string   `json:"elasticsearch,omitempty"` // URL
}

// Env gives the addresses as variables of an environment.
func (a Addresses) Env() (all []string) {
	for _, v := range [][2]string{{"KAFKA_BROKERS", strings.Join(a.Kafka, ",")}, {"POSTGRES_DSN", a.Postgres}, {"ELASTICSEARCH_URL", a.Elasticsearch}} {
		if v[1] != "" {
			all = append(all, v[0]+"="+v[1])
		}
	}
	return all
}

// Run starts the named servers for development, hands their addresses to use,
// and ends them and deletes their data when use returns.
func Run(ctx context.Context, wanted []string, use func(Addresses) error) (err error) {
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("there is no server %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	var a Addresses
	for _, name := range wanted {
		end, startErr := a.start(ctx, name)
		if startErr != nil {
			return fmt.Errorf("start %s: %w", name, startErr)
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	return use(a)
}

// start starts one server and notes its address. The function it returns ends
// the server.
func (a *Addresses) start(ctx context.Context, name string) (func() error, error) {
	switch name {
	case "kafka":
		k, err := newKafka(ctx, KafkaOptions{JVM: []string{"-Xmx1g", "-XX:TieredStopAtLevel=4"}}) // it may run for long
		if err != nil {
			return nil, err
		}
		a.Kafka = k.Brokers()
		return k.close, nil
	case "postgres":
		return a.startPostgres(ctx)
	default:
		e, err := newElasticsearch(ctx, ElasticsearchOptions{JVM: []string{"-Xmx1g", "-XX:TieredStopAtLevel=4"}})
		if err != nil {
			return nil, err
		}
		a.Elasticsearch = e.URL()
		return e.close, nil
	}
}

func (a *Addresses) startPostgres(ctx context.Context) (func() error, error) {
	p, err := newPostgres()
	if err != nil {
		return nil, err
	}
	end := func() error { return errors.Join(p.child.stop(syscall.SIGINT), p.close()) }
	if err := p.command("createdb", "-h", "127.0.0.1", "-p", p.port(), "-U", "tocsin", "tocsin").run(ctx); err != nil {
		return nil, errors.Join(err, end())
	}
	a.Postgres = (&url.URL{Scheme: "postgres", User: url.User("tocsin"), Host: localhost(p.ports[0]), Path: "/tocsin"}).String()
	return end, nil
}

// Fetch fetches and prepares all that the servers need, unless it is there. What
// it cannot fetch for want of a tool is returned as note, for a person; where CI
// is true that is an error.
func Fetch(ctx context.Context) (note string, err error) {
	_, err = fetchKafka(ctx)
	if err == nil {
		_, err = artefacts(ctx, "elasticsearch", unzip)
	}
	var missing *missingError
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		return fmt.Sprintf("%v. The tests with a real Kafka and Elasticsearch are skipped until then.", missing), nil
	}
	return "", err
}
