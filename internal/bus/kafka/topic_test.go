package kafka_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	client "github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
	"github.com/tocsin/tocsin/internal/bus/kafka"
	"github.com/tocsin/tocsin/test/services"
)

// makeTopics makes topics by hand, as an operator would.
func makeTopics(t *testing.T, prefix string, topics ...client.TopicConfig) {
	t.Helper()
	for i := range topics {
		topics[i].Topic, topics[i].ReplicationFactor = prefix+topics[i].Topic, 1
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	res, err := admin(t).CreateTopics(ctx, &client.CreateTopicsRequest{Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range res.Errors {
		if err != nil {
			t.Fatalf("make %s: %v", name, err)
		}
	}
}

func settings(pairs ...string) (all []client.ConfigEntry) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, client.ConfigEntry{ConfigName: pairs[i], ConfigValue: pairs[i+1]})
	}
	return all
}

// All that is wrong with topics that exist is told at once.
func TestTopicsThatDiffer(t *testing.T) {
	o := hubTopics(3)
	o.MaxMessageBytes = 1 << 20
	makeTopics(
		t, o.Prefix,
		client.TopicConfig{Topic: topic, NumPartitions: 4, ConfigEntries: settings("cleanup.policy", "compact", "max.message.bytes", "1000")},
		client.TopicConfig{Topic: bus.TopicEvents, NumPartitions: 3, ConfigEntries: settings("unclean.leader.election.enable", "true", "min.insync.replicas", "2")},
	)
	o.Brokers = services.SharedKafka(t).Brokers()
	_, err := kafka.New(t.Context(), o)
	if hub.KindOf(err) != hub.Conflict {
		t.Fatalf("got %v, want a conflict", err)
	}
	for _, want := range []string{
		o.Prefix + topic + " has 4 partitions, the hub is set to 3",
		o.Prefix + topic + " has cleanup.policy=compact, want delete",
		o.Prefix + topic + " has max.message.bytes=1000, want at least 1048576",
		o.Prefix + bus.TopicEvents + " has unclean.leader.election.enable=true, want false",
		o.Prefix + bus.TopicEvents + " has min.insync.replicas=2 but only 1 replicas",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), bus.TopicDeadLetters) {
		t.Errorf("the topic that was made is found wrong: %v", err)
	}
}

func TestTopicsThatExistAreUsed(t *testing.T) {
	o := hubTopics(3)
	makeTopics(t, o.Prefix, client.TopicConfig{Topic: topic, NumPartitions: 3, ConfigEntries: settings("max.message.bytes", "10000000")})
	b := openBus(t, o)
	publish(t, b, "k", 0, 1)
	receive(t, subscribe(t, b, kafka.Group{Name: "triage"})).Ack()
}

func TestTopicsThatCannotBeMade(t *testing.T) {
	o := hubTopics(3)
	o.Brokers, o.Replication = services.SharedKafka(t).Brokers(), 3
	_, err := kafka.New(t.Context(), o)
	if hub.KindOf(err) != hub.Conflict || !strings.Contains(err.Error(), "3 replicas") {
		t.Errorf("three replicas on one broker give %v", err)
	}
	o = hubTopics(3)
	makeTopics(t, o.Prefix, client.TopicConfig{Topic: topic, NumPartitions: 3, ConfigEntries: settings("max.message.bytes", "10000000")})
	o.Brokers, o.Replication, o.MinInSync = services.SharedKafka(t).Brokers(), 2, 2
	o.Topics = map[string]kafka.Topic{topic: {}}
	_, err = kafka.New(t.Context(), o)
	for _, want := range []string{"replication factor of 1, want at least 2", "min.insync.replicas=1, want at least 2"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// A group whose next message does not exist goes on with the oldest: its message
// was removed because of its age, or the topic was made anew.
func TestAPlaceThatDoesNotExist(t *testing.T) {
	o := hubTopics(1)
	b := openBus(t, o)
	publish(t, b, "k", 0, 10)
	res, err := admin(t).OffsetCommit(t.Context(), &client.OffsetCommitRequest{
		GroupID: o.Prefix + "triage." + topic, GenerationID: -1,
		Topics: map[string][]client.OffsetCommit{o.Prefix + topic: {{Partition: 0, Offset: 1000}}},
	})
	if err != nil || res.Topics[o.Prefix+topic][0].Error != nil {
		t.Fatalf("commit: %v, %v", err, res)
	}
	ch := subscribe(t, b, kafka.Group{Name: "triage"})
	for i := range 10 {
		m := receive(t, ch)
		if want := fmt.Sprint("k-", i); m.UUID != want {
			t.Errorf("%s came, want %s", m.UUID, want)
		}
		m.Ack()
	}
	await(t, "everything is done", func() bool { n, err := b.Lag(topic, "triage"); return err == nil && n == 0 })
}

// A topic that allows less than it did when it was checked gets smaller batches.
func TestATopicThatAllowsLess(t *testing.T) {
	o := hubTopics(1)
	b := openBus(t, o)
	res, err := admin(t).IncrementalAlterConfigs(t.Context(), &client.IncrementalAlterConfigsRequest{
		Resources: []client.IncrementalAlterConfigsRequestResource{{
			ResourceType: client.ResourceTypeTopic, ResourceName: o.Prefix + topic,
			Configs: []client.IncrementalAlterConfigsRequestConfig{{Name: "max.message.bytes", Value: "2000", ConfigOperation: client.ConfigOperationSet}},
		}},
	})
	if err != nil || res.Resources[0].Error != nil {
		t.Fatalf("alter: %v, %v", err, res)
	}
	var msgs []*message.Message
	for i := range 50 {
		msgs = append(msgs, bus.NewMessage(fmt.Sprint(i), "default", "k", make([]byte, 500)))
	}
	await(t, "the setting holds", func() bool {
		return hub.KindOf(b.Publisher().Publish(topic, bus.NewMessage("large", "default", "large", make([]byte, 3000)))) == hub.TooLarge
	})
	if err := b.Publisher().Publish(topic, msgs...); err != nil {
		t.Fatal(err)
	}
	ch := subscribe(t, b, kafka.Group{Name: "triage", Coalesce: true})
	for i := 0; i < 50; {
		m := receive(t, ch)
		m.Ack()
		if m.UUID == "large" {
			continue // from before the setting held
		}
		if m.UUID != fmt.Sprint(i) {
			t.Errorf("%s came, want %d", m.UUID, i)
		}
		i++
	}
}

func admin(t *testing.T) *client.Client {
	t.Helper()
	tr := &client.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &client.Client{Addr: client.TCP(services.SharedKafka(t).Brokers()...), Transport: tr}
}
