package syslog

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// counts are since the start of the process.
type counts struct {
	connections atomic.Int64 // open now
	messages    atomic.Int64
	findings    atomic.Int64
	skipped     atomic.Int64 // no rule fits, or one says so
	malformed   atomic.Int64 // carried a known format, broken
	truncated   atomic.Int64
	lost        atomic.Int64 // could not be stored, and not for want of room

	droppedQueue  atomic.Int64 // datagrams that found the queue full
	droppedKernel atomic.Int64 // datagrams that found the socket's buffer full
	droppedRate   atomic.Int64 // datagrams above max_rate
	notAllowed    atomic.Int64 // datagrams and connections from elsewhere
	refused       atomic.Int64 // connections above max_connections
	broken        atomic.Int64 // connections that were ended because nothing on them made sense

	mu        sync.Mutex // guards listening
	listening []string
}

func (c *counts) open(addresses []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = addresses
}

func (c *counts) places() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.listening)
}

func (c *counts) report() jsontext.Value {
	listening := c.places()
	b, err := json.Marshal(struct {
		Listening   []string         `json:"listening"`
		Connections int64            `json:"connections"`
		Messages    int64            `json:"messages"`
		Findings    int64            `json:"findings"`
		Skipped     int64            `json:"skipped"`
		Malformed   int64            `json:"malformed"`
		Truncated   int64            `json:"truncated"`
		Lost        int64            `json:"lost"`
		Dropped     map[string]int64 `json:"dropped"`
		Refused     map[string]int64 `json:"refused"`
	}{
		listening, c.connections.Load(), c.messages.Load(), c.findings.Load(), c.skipped.Load(), c.malformed.Load(), c.truncated.Load(), c.lost.Load(),
		map[string]int64{"queue": c.droppedQueue.Load(), "kernel": c.droppedKernel.Load(), "rate": c.droppedRate.Load()},
		map[string]int64{"sender": c.notAllowed.Load(), "connections": c.refused.Load(), "broken": c.broken.Load()},
	}, json.Deterministic(true))
	if err != nil {
		return nil
	}
	return b
}
