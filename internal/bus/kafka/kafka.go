// Package kafka is a message bus on Apache Kafka, for a hub of several nodes.
// To the outside it behaves as internal/bus/embedded does.
//
// Publishing. A message goes to the partition that Kafka's own partitioner
// (murmur2) gives its key. Whoever publishes at the same time shares a request;
// Publish returns when all in-sync replicas have the message, or fails within
// Options.PublishTimeout. One batch of a partition is under way at a time and is
// repeated as it is, under a producer id, so that a lost answer makes no double
// and a repeat cannot overtake what came after it. A message whose Publish failed
// may have been stored all the same.
//
// On the wire, the key of a message is the record's key, its id the header
// message-id, its tenant the header tenant; all other metadata are headers with
// their own names. A record without message-id, from another producer, takes its
// id from ce_id or from its place.
//
// Consuming. A group of the hub is one consumer group for each topic, named
// prefix + group + "." + topic, so that what happens to one topic leaves the
// others alone. All subscriptions of a process to it are one member. Partitions
// are handed over cooperatively: the old owner finishes what is in flight and
// commits before the new one begins, and the other partitions go on meanwhile.
// If an owner is thrown out, the contexts of its messages end at once, and what
// it acknowledges later counts for nothing: commits carry the generation.
//
// Within a partition a window of messages is in flight, one of each key; the
// place up to which everything is done is committed, up to 100 ms late. A refused
// message comes again after a pause that the bus waits for. How often, and when
// it goes to the topic deadletters, is decided by [bus.Verdict].
//
// Every request has a deadline, and no reader of the library is used that could
// stall; if nothing could be read for long, all connections are made anew.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Bus is a connection to a cluster. Its methods may be called by any number
// of goroutines.
type Bus struct {
	opts    Options
	log     *slog.Logger
	cluster *cluster
	out     *producer

	topics  atomic.Pointer[map[string]*topic] // replaced as a whole under opening
	opening sync.Mutex                        // held while topics are opened

	mu     sync.Mutex // guards what follows
	subs   map[*subscriber]struct{}
	groups map[groupName]*group
	tally  map[groupName]*tally
	closed bool

	ctx    context.Context // ends with the bus
	cancel context.CancelFunc
	done   sync.WaitGroup
	close  func() error // run once
}

// New connects to a cluster, makes the topics that are missing and checks the
// others. What is wrong with them is one error of kind Conflict that names all
// of it. It tries for as long as ctx allows if no broker answers.
func New(ctx context.Context, opts Options) (*Bus, error) {
	opts.fill()
	c, err := newCluster(&opts)
	if err != nil {
		return nil, err
	}
	b := &Bus{
		opts: opts, log: opts.Log, cluster: c,
		subs: map[*subscriber]struct{}{}, groups: map[groupName]*group{}, tally: map[groupName]*tally{},
	}
	b.topics.Store(&map[string]*topic{})
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.close = sync.OnceValue(b.shut)
	if b.out, err = newProducer(b); err != nil {
		return nil, err
	}
	if err := b.start(ctx); err != nil {
		b.cancel()
		b.cluster.close()
		return nil, fmt.Errorf("open the bus: %w", err)
	}
	return b, nil
}

func (b *Bus) start(ctx context.Context) error {
	if err := b.openAll(ctx, slices.Sorted(maps.Keys(b.opts.Topics))); err != nil {
		return err
	}
	if b.opts.Registry != nil {
		if err := b.opts.Registry.Register(collector{b}); err != nil {
			return err
		}
	}
	b.done.Go(b.out.run)
	b.done.Go(b.watch)
	b.done.Go(b.followBacklogs)
	return nil
}

// Close ends every subscription, waits for messages in flight as long as
// Options.Grace says, commits what was done and leaves the groups.
func (b *Bus) Close() error { return b.close() }

func (b *Bus) shut() error {
	b.mu.Lock()
	b.closed = true
	subs := slices.Collect(maps.Keys(b.subs))
	b.mu.Unlock()
	var all sync.WaitGroup
	errs := make([]error, len(subs))
	for i, s := range subs {
		all.Go(func() { errs[i] = s.Close() })
	}
	all.Wait()
	b.out.close()
	b.cancel()
	b.done.Wait()
	b.cluster.close()
	return errors.Join(errs...)
}

var errClosed = errors.New("the bus is closed")

// Ping tells whether a broker answers.
func (b *Bus) Ping(ctx context.Context) error {
	if err := b.cluster.ping(ctx); err != nil {
		return unreachable(err)
	}
	return nil
}

func unreachable(err error) error {
	return &hub.Error{
		Kind: hub.Transient, RetryAfter: retryAfter, Err: err,
		Msg: "the message bus does not answer; try again later",
	}
}

// retryAfter is when a caller may try again: by then a broker that restarts may
// be back.
const retryAfter = 2 * time.Second
