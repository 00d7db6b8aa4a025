package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/tocsin/tocsin/hub"
)

// provide waits until every topic exists with a leader for each partition, and
// makes those that are missing. As long as no broker answers it tries again.
func (b *Bus) provide(ctx context.Context, names []string) (map[string]kafka.Topic, error) {
	ready := map[string]kafka.Topic{}
	var last error
	for {
		for _, name := range names {
			if _, done := ready[name]; done {
				continue
			}
			t, err := b.look(ctx, name)
			var ours *hub.Error
			if errors.As(err, &ours) {
				return nil, err
			}
			if err == nil {
				ready[name] = t
			} else if ctx.Err() == nil {
				last = err
			}
		}
		if len(ready) == len(names) {
			return ready, nil
		}
		if pause(100*time.Millisecond, ctx.Done()); ctx.Err() != nil {
			return nil, unreachable(errors.Join(last, ctx.Err()))
		}
	}
}

// look gives a topic if it is ready. What cannot be helped by waiting is an
// error of ours.
func (b *Bus) look(ctx context.Context, name string) (kafka.Topic, error) {
	t, err := b.cluster.metadata(ctx, b.opts.Prefix+name)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return t, errors.Join(err, b.create(ctx, name))
	}
	if err != nil {
		return t, hopeless(err)
	}
	if len(t.Partitions) == 0 {
		return t, kafka.LeaderNotAvailable
	}
	slices.SortFunc(t.Partitions, func(x, y kafka.Partition) int { return x.ID - y.ID })
	for _, p := range t.Partitions {
		if p.Leader.Host == "" {
			return t, kafka.LeaderNotAvailable
		}
	}
	return t, nil
}

// hopeless makes an error of ours of what waiting does not help.
func hopeless(err error) error {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return hub.Wrap(hub.Forbidden, err, "the certificate of a Kafka broker is not to be trusted; check the authorities given")
	}
	for _, k := range []kafka.Error{
		kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.SASLAuthenticationFailed,
		kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState, kafka.InvalidTopic,
	} {
		if errors.Is(err, k) {
			return hub.Wrap(hub.Forbidden, err, "Kafka refuses the hub: "+k.Title()+"; check how it signs in and its rights")
		}
	}
	return err
}

const day = 24 * time.Hour

// create makes a topic. The answer says only that it will exist.
func (b *Bus) create(ctx context.Context, name string) error {
	opts := b.opts.Topics[name]
	full := b.opts.Prefix + name
	set(&opts.Partitions, b.opts.DefaultPartitions)
	set(&opts.Retain, 7*day)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	res, err := b.cluster.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: full, NumPartitions: opts.Partitions, ReplicationFactor: b.opts.Replication,
		ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "delete"},
			{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(opts.Retain.Milliseconds(), 10)},
			{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(b.opts.MinInSync)},
			{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(b.opts.MaxMessageBytes)},
			{ConfigName: "unclean.leader.election.enable", ConfigValue: "false"},
		},
	}}})
	if err != nil {
		return err
	}
	err = res.Errors[full]
	var code kafka.Error
	switch {
	case err == nil:
		b.log.Info("topic made", "topic", full, "partitions", opts.Partitions, "replication", b.opts.Replication)
		return nil
	case errors.Is(err, kafka.TopicAlreadyExists):
		return nil // another node was faster
	case errors.As(err, &code) && code.Temporary():
		return err
	}
	return hub.Wrap(hub.Conflict, err, fmt.Sprintf("topic %s could not be made with %d partitions and %d replicas", full, opts.Partitions, b.opts.Replication))
}

// faults compares a topic that exists with what the hub needs.
func (b *Bus) faults(ctx context.Context, t kafka.Topic, name string) (all []string) {
	full := b.opts.Prefix + name
	fault := func(format string, args ...any) { all = append(all, full+" "+fmt.Sprintf(format, args...)) }
	opts := b.opts.Topics[name]
	set(&opts.Partitions, b.opts.DefaultPartitions)
	if got := len(t.Partitions); got != opts.Partitions {
		fault("has %d partitions, the hub is set to %d, and a different number would break the order of keys: set the hub to %d or make the topic anew", got, opts.Partitions, got)
	}
	least := len(t.Partitions[0].Replicas)
	for _, p := range t.Partitions {
		least = min(least, len(p.Replicas))
	}
	if least < b.opts.Replication {
		fault("has a replication factor of %d, want at least %d", least, b.opts.Replication)
	}
	settings, err := b.settings(ctx, full)
	if err != nil {
		b.log.Warn("the settings of a topic cannot be read, so they are not checked", "topic", full, "error", err)
		return all
	}
	if got := settings["cleanup.policy"]; got != "delete" {
		fault("has cleanup.policy=%s, want delete: messages would be lost", got)
	}
	if got := settings["unclean.leader.election.enable"]; got == "true" {
		fault("has unclean.leader.election.enable=true, want false: accepted messages could be lost")
	}
	if got, _ := strconv.Atoi(settings["min.insync.replicas"]); got < b.opts.MinInSync {
		fault("has min.insync.replicas=%d, want at least %d", got, b.opts.MinInSync)
	} else if got > least {
		fault("has min.insync.replicas=%d but only %d replicas: nothing could be published", got, least)
	}
	if got, _ := strconv.Atoi(settings["max.message.bytes"]); got < b.opts.MaxMessageBytes {
		fault("has max.message.bytes=%d, want at least %d", got, b.opts.MaxMessageBytes)
	}
	return all
}

func (b *Bus) settings(ctx context.Context, full string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	res, err := b.cluster.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: full,
		ConfigNames: []string{"cleanup.policy", "min.insync.replicas", "max.message.bytes", "unclean.leader.election.enable"},
	}}})
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, r := range res.Resources {
		if r.Error != nil {
			return nil, r.Error
		}
		for _, e := range r.ConfigEntries {
			all[e.ConfigName] = e.ConfigValue
		}
	}
	return all, nil
}
