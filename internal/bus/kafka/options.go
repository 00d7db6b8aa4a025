package kafka

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tocsin/tocsin/internal/bus"
)

// Topic says how a topic is made, and what one that exists is compared with.
type Topic struct {
	// Partitions of the topic; 0 is Options.DefaultPartitions.
	Partitions int
	// MaxBacklog is from how many messages on, that the slowest group at work here
	// has not done, publishing is refused with a Transient error; 0 is no limit.
	MaxBacklog int64
	// Retain is how long messages are kept, done or not; 0 is 7 days. A topic that
	// exists keeps its own.
	Retain time.Duration
}

// DefaultTopics are the topics of the hub.
func DefaultTopics() map[string]Topic {
	const day = 24 * time.Hour
	return map[string]Topic{
		bus.TopicFindings:    {MaxBacklog: 1_000_000, Retain: 7 * day},
		bus.TopicEvents:      {Retain: 30 * day},
		bus.TopicDeadLetters: {Partitions: 1, Retain: 90 * day},
	}
}

// Options of a bus. Only Brokers must be given.
type Options struct {
	// Brokers are addresses of some of the cluster's brokers, as host:port.
	Brokers []string
	// Prefix is what the names of topics and consumer groups start with.
	Prefix   string
	Security Security

	// Topics by name; nil is [DefaultTopics]. Those that do not exist are made,
	// those that exist are checked when the bus is opened.
	Topics map[string]Topic
	// AnyTopic lets topics be used that are not in Topics; they are made as the
	// zero Topic says. The bus then follows the metadata of all topics of the
	// cluster.
	AnyTopic bool
	// DefaultPartitions of topics that do not say how many; 0 is 12.
	DefaultPartitions int
	// Replication is how many copies a topic has at least, and MinInSync how many
	// of them must have a message before it counts as published; 0 is 1.
	Replication, MinInSync int
	// MaxMessageBytes bounds a message with its headers; 0 is 8 MiB. Topics must
	// allow as much.
	MaxMessageBytes int
	// Compression of what is published: none, gzip, snappy, lz4 or zstd.
	Compression string

	// PublishTimeout is how long publishing is tried; 0 is 5 s.
	PublishTimeout time.Duration
	// Session is after what time without a sign of life a member of a group loses
	// its partitions; 0 is 6 s, the least that brokers accept unless told otherwise.
	// If they want more, it is doubled until they accept it.
	Session time.Duration
	// Heartbeat is how often a member shows that it lives, and so how soon it
	// learns of others that come and go; 0 is 1 s.
	Heartbeat time.Duration
	// Commit is how late progress is stored; 0 is 100 ms.
	Commit time.Duration

	// BackoffMin and BackoffMax bound the pause before a refused message comes
	// again, which doubles each time; 0 is 100 ms and 30 s.
	BackoffMin, BackoffMax time.Duration
	// MaxAttempts is how often a message is handed out whose handler fails with
	// an internal error, before it is a dead letter; 0 is 10. It starts anew when
	// another member takes the partition over.
	MaxAttempts int
	// Grace is how long a subscription that ends, or a partition that goes to
	// another member, waits for messages in flight to be acknowledged; 0 is 10 s.
	// Their contexts end with it.
	Grace time.Duration

	// Now gives the time that messages are stamped with; nil: the machine's. Brokers
	// refuse those that are an hour ahead of their own.
	Now      func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer

	dial dialer // for tests; nil is the system's
}

func set[T comparable](v *T, preset T) { *v = cmp.Or(*v, preset) }

func (o *Options) fill() {
	set(&o.DefaultPartitions, 12)
	set(&o.Replication, 1)
	set(&o.MinInSync, 1)
	set(&o.MaxMessageBytes, 8<<20)
	set(&o.PublishTimeout, 5*time.Second)
	set(&o.Session, 6*time.Second)
	set(&o.Heartbeat, time.Second)
	set(&o.Commit, 100*time.Millisecond)
	set(&o.BackoffMin, 100*time.Millisecond)
	set(&o.BackoffMax, 30*time.Second)
	set(&o.MaxAttempts, 10)
	set(&o.Grace, 10*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Topics == nil {
		o.Topics = DefaultTopics()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}
