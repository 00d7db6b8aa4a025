package ops

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/kafka"
	"github.com/tocsin/tocsin/internal/bus/outbox"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// toFile carries a hub over PostgreSQL and Kafka to a file of its own.
func (m *moving) toFile(ctx context.Context) (*MoveReport, error) {
	if exists(m.toURL) {
		return nil, &UsageError{fmt.Sprintf("--to: %s exists; name a file that does not", m.toURL)}
	}
	if m.Config == nil || m.Config.Bus.Kind != "kafka" {
		return nil, &UsageError{"what waits in Kafka must come along: name the hub's configuration with --config, or set TOCSIN_BUS_KIND, TOCSIN_BUS_KAFKA_BROKERS and whatever else the hub needs to reach it"}
	}
	if err := nobodyRuns(ctx, m.fromURL); err != nil {
		return nil, err
	}
	b, err := openKafka(ctx, &m.Config.Bus)
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.Close() }() // it was only read
	if m.from, err = postgres.OpenDump(ctx, m.fromURL); err != nil {
		return nil, err
	}
	defer func() { _ = m.from.Close() }() // it was only read
	if m.to, err = sqlite.OpenLoad(ctx, m.toURL); err != nil {
		return nil, err
	}
	defer func() { _ = m.to.Close() }() // it was committed, or is dropped
	return m.carry(ctx, store.BusPlan{
		Topics: []string{bus.TopicFindings, bus.TopicEvents, bus.TopicDeadLetters},
		Place: func(topic string, row *store.MessageRow) (string, error) {
			if topic == outbox.Table {
				return outbox.Leave(row)
			}
			return topic, nil
		},
		More: func(ctx context.Context, yield func(string, *store.MessageRow) error) error {
			return inKafka(ctx, b, m.Config, yield)
		},
	})
}

func openKafka(ctx context.Context, c *configs.Bus) (*kafka.Bus, error) {
	partitions := c.Partitions
	if partitions == 1 {
		partitions = 0 // see internal/app
	}
	topics := kafka.DefaultTopics()
	topics[bus.TopicFindings] = kafka.Topic{Partitions: partitions}
	topics[bus.TopicEvents] = kafka.Topic{Partitions: partitions}
	k := &c.Kafka
	return kafka.New(ctx, kafka.Options{
		Brokers: k.Brokers, Prefix: k.TopicPrefix, Topics: topics, Replication: k.Replication, MinInSync: k.MinInsync,
		Security: kafka.Security{
			TLS: k.TLS, CAFile: k.CAFile, CertFile: k.CertFile, KeyFile: k.KeyFile,
			SASL: k.SASL, Username: k.Username, Password: k.Password,
		},
	})
}

// inKafka gives what the groups of a hub have not done, and its dead letters.
func inKafka(ctx context.Context, b *kafka.Bus, c *configs.Config, yield func(string, *store.MessageRow) error) error {
	groups := map[string][]string{bus.TopicFindings: {"triage"}}
	for _, e := range c.Endpoints {
		if e.Kind == hub.KindElastic {
			groups[bus.TopicEvents] = append(groups[bus.TopicEvents], "elastic-"+e.Name)
		}
	}
	for _, topic := range []string{bus.TopicFindings, bus.TopicEvents} {
		err := b.Unread(ctx, topic, groups[topic], func(m bus.Kept) error { return yield(topic, rowOf(m)) })
		if err != nil {
			return err
		}
	}
	return deadLetters(ctx, b, yield)
}

// rowOf gives a message as the store keeps it.
func rowOf(m bus.Kept) *store.MessageRow {
	return &store.MessageRow{Tenant: m.Tenant, ID: m.ID, Key: m.Key, At: madeAt(m.ID), Headers: m.Headers, Payload: m.Payload}
}

func deadLetters(ctx context.Context, b *kafka.Bus, yield func(string, *store.MessageRow) error) error {
	const chunk = 100
	for after, n := int64(0), chunk; n == chunk; {
		letters, err := b.DeadLetters(ctx, "", after, chunk)
		if err != nil {
			return err
		}
		n = len(letters)
		for _, d := range letters {
			after = d.Position
			m := bus.NewMessage(d.ID, d.Tenant, d.Key, d.Payload)
			m.Metadata[bus.DeadReason], m.Metadata[bus.DeadStage] = d.Reason, d.Stage
			m.Metadata[bus.DeadAttempts], m.Metadata[bus.DeadTopic] = fmt.Sprint(d.Attempts), d.Topic
			row := rowOf(bus.Keep(m))
			row.At = d.At
			if err := yield(bus.TopicDeadLetters, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// madeAt tells when a message was made, by its id; now if the id does not tell.
func madeAt(id string) int64 {
	at, timed := ident.Time(id)
	if !timed {
		at = time.Now()
	}
	return hub.Micros(at)
}
