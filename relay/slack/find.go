package slack

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
)

// The metadata of our messages: event type, and the names in its payload.
const (
	markType       = "tocsin"
	markEndpoint   = "endpoint"
	markDelivery   = "delivery"   // of a message about one
	markDeliveries = "deliveries" // of a summary: sequences of their events, such as 7-9,12
)

// longestMark is the longest list of sequences. Slack refuses metadata that is
// too large, and does not say what that is.
const longestMark = 2000

// marks are what the deliveries are found by in a message.
func (k *talk) marks(all []*hub.Delivery) map[string]any {
	m := map[string]any{markEndpoint: string(k.e.ID)}
	if len(all) == 1 {
		m[markDelivery] = string(all[0].ID)
		return m
	}
	if text := ranges(all); len(text) <= longestMark {
		m[markDeliveries] = text
	}
	return m
}

// ranges lists the sequences of the deliveries' events.
func ranges(all []*hub.Delivery) string {
	seqs := make([]int64, len(all))
	for i, d := range all {
		seqs[i] = d.Sequence
	}
	slices.Sort(seqs)
	var b strings.Builder
	for i := 0; i < len(seqs); {
		j := i
		for j+1 < len(seqs) && seqs[j+1] <= seqs[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(seqs[i], 10))
		if seqs[j] > seqs[i] {
			b.WriteString("-" + strconv.FormatInt(seqs[j], 10))
		}
		i = j + 1
	}
	return b.String()
}

// within reports whether a list of ranges holds a sequence.
func within(list string, seq int64) bool {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseInt(first, 10, 64)
		b := a
		if isRange && err == nil {
			b, err = strconv.ParseInt(last, 10, 64)
		}
		if err == nil && a <= seq && seq <= b {
			return true
		}
	}
	return false
}

// How far back an earlier message is looked for.
const (
	pageSize = 200
	pages    = 5
)

// find looks for messages that deliveries were sent with before, in a thread or in
// the channel. It gives their time stamps by delivery. Where the token may not read
// it finds nothing: to send twice is better than not at all.
func (k *talk) find(ctx context.Context, all []*hub.Delivery, thread string) (map[hub.DeliveryID]string, error) {
	found := map[hub.DeliveryID]string{}
	place, err := k.where(ctx, all)
	if err != nil || place == "" {
		return found, err
	}
	oldest := all[0].CreatedAt
	for _, d := range all {
		if d.CreatedAt.Before(oldest) {
			oldest = d.CreatedAt
		}
	}
	cursor := ""
	for range pages {
		messages, next, err := k.read(ctx, place, thread, oldest.Add(-time.Minute), cursor)
		if err != nil {
			if k.code != "" && hub.KindOf(err) == hub.Invalid { // no scope, not a member
				return found, nil
			}
			return nil, err
		}
		for i := range messages {
			k.match(&messages[i], all, found)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(found) > 0 {
		k.place = place
	}
	return found, nil
}

// where gives the id of the channel; "" if it is not known.
func (k *talk) where(ctx context.Context, all []*hub.Delivery) (string, error) {
	if isID(k.channel) {
		return k.channel, nil
	}
	known, err := k.o.Postings(ctx, k.e, subjects(all))
	for _, p := range known {
		if p.Asked == k.channel {
			return p.Place, err
		}
	}
	return "", err
}

func subjects(all []*hub.Delivery) []hub.AlertID {
	ids := make([]hub.AlertID, len(all))
	for i, d := range all {
		ids[i] = hub.AlertID(d.Subject)
	}
	return ids
}

// read gives one page of a channel, or of a thread in it.
func (k *talk) read(ctx context.Context, place, thread string, since time.Time, cursor string) ([]api.Message, string, error) {
	oldest := fmt.Sprintf("%d.%06d", since.Unix(), since.Nanosecond()/1000)
	if thread != "" {
		messages, _, next, err := k.api.GetConversationRepliesContext(ctx, &api.GetConversationRepliesParameters{
			ChannelID: place, Timestamp: thread, Oldest: oldest, Limit: pageSize, Cursor: cursor, IncludeAllMetadata: true,
		})
		return messages, next, k.judged(err)
	}
	r, err := k.api.GetConversationHistoryContext(ctx, &api.GetConversationHistoryParameters{
		ChannelID: place, Oldest: oldest, Limit: pageSize, Cursor: cursor, IncludeAllMetadata: true,
	})
	if err := k.judged(err); err != nil {
		return nil, "", err
	}
	return r.Messages, r.ResponseMetaData.NextCursor, nil
}

// match notes which of the deliveries a message was sent with.
func (k *talk) match(m *api.Message, all []*hub.Delivery, found map[hub.DeliveryID]string) {
	payload := m.Metadata.EventPayload
	if m.Metadata.EventType != markType || payload[markEndpoint] != string(k.e.ID) {
		return
	}
	list, _ := payload[markDeliveries].(string)
	for _, d := range all {
		if payload[markDelivery] == string(d.ID) || list != "" && d.Run == "" && within(list, d.Sequence) {
			found[d.ID] = short(m.Timestamp)
		}
	}
}
