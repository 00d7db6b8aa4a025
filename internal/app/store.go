package app

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines"
)

// pipelineStore is the store as the pipelines see it: with the bus inside the
// transaction.
type pipelineStore struct {
	st  *store.Store
	bus hubBus
}

// Do runs fn in a transaction.
func (s pipelineStore) Do(ctx context.Context, fn func(pipelines.Tx) error) error {
	return s.st.Do(ctx, func(tx *store.Tx) error { return fn(pipelineTx{tx, s.bus}) })
}

type pipelineTx struct {
	*store.Tx
	bus hubBus
}

// Publish puts messages on the bus in this transaction.
func (t pipelineTx) Publish(topic string, msgs ...*message.Message) error {
	return t.bus.PublishTx(t.Tx, topic, msgs...)
}

var _ pipelines.Tx = pipelineTx{}
