package kafka

import (
	"context"
	"errors"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus"
)

// bury moves an item to the dead letters and finishes it. It reports false if
// Kafka did not take it, or if it is a dead letter already: then it is retried
// like any other.
//
// A crash after it and before the progress is committed makes the message come
// again, and perhaps a second dead letter.
func (g *group) bury(ctx context.Context, it *item, cause error) bool {
	if g.topic.name == bus.TopicDeadLetters {
		return false
	}
	t, err := g.bus.open(ctx, bus.TopicDeadLetters)
	if err != nil {
		g.bus.log.Warn("there is no topic for dead letters; trying again", "group", g.id, "error", err)
		return false
	}
	m := it.rec.message(it.part.no)
	m.Metadata[bus.DeadReason], m.Metadata[bus.DeadStage] = reason(cause), g.name
	m.Metadata[bus.DeadAttempts], m.Metadata[bus.DeadTopic] = strconv.Itoa(it.attempts), g.topic.name
	m.Metadata[bus.DeadPosition] = m.Metadata[bus.MetaPosition]
	// The end of the subscription does not end this: the message is handled.
	if err := g.bus.publish(context.WithoutCancel(ctx), t, []*message.Message{m}); err != nil {
		g.bus.log.Warn("storing a dead letter failed; trying again", "topic", g.topic.full, "group", g.name, "id", m.UUID, "error", err)
		return false
	}
	g.dead.Add(1)
	g.bus.log.Error("message could not be handled; it is a dead letter now", "topic", g.topic.full, "group", g.name,
		"tenant", m.Metadata[bus.MetaTenant], "id", m.UUID, "attempts", it.attempts, "error", cause)
	g.finish(it)
	return true
}

// reason is what is shown of an error: for one of ours what a caller may see.
func reason(err error) string {
	var e *hub.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return "internal error: " + err.Error()
}
