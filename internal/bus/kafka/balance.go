package kafka

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

// A claim is what a member says it has.
type claim struct {
	member     string
	generation int // in which it got it
	partitions []int
}

// assign decides who gets which partitions in this round.
func (m *member) assign(members []kafka.JoinGroupResponseMember) ([]syncgroup.RequestAssignment, error) {
	t := m.g.topic
	found, err := m.g.bus.cluster.metadata(m.ctx, t.full)
	if err != nil {
		return nil, err
	}
	if len(found.Partitions) == 0 {
		return nil, errors.New("the topic has no partitions yet")
	}
	var claims []claim
	for _, x := range members {
		c := claim{member: x.ID, partitions: x.Metadata.OwnedPartitions[t.full]}
		c.generation, _ = strconv.Atoi(string(x.Metadata.UserData))
		claims = append(claims, c)
	}
	var all []syncgroup.RequestAssignment
	for member, partitions := range share(len(found.Partitions), claims) {
		x := consumer.TopicPartition{Topic: t.full}
		for _, no := range partitions {
			x.Partitions = append(x.Partitions, int32(no))
		}
		text, err := protocol.Marshal(consumer.MaxVersionSupported, consumer.Assignment{
			Version: consumer.MaxVersionSupported, AssignedPartitions: []consumer.TopicPartition{x},
		})
		if err != nil {
			return nil, fmt.Errorf("write what the group gives: %w", err)
		}
		all = append(all, syncgroup.RequestAssignment{MemberID: member, Assignment: text})
	}
	return all, nil
}

// share gives each member as many partitions as the others, or one more, and
// leaves them where they are as far as that goes. One that is to go from a member
// to another is given to nobody: its owner learns so that it must give it up,
// and joins again when it has, and only then the other gets it.
func share(partitions int, claims []claim) map[string][]int {
	owner := owners(partitions, claims)
	count := map[string]int{}
	for _, who := range owner {
		if who != "" {
			count[who]++
		}
	}
	// Those who have most get the larger shares, so that least is moved.
	slices.SortFunc(claims, func(x, y claim) int {
		return cmp.Or(count[y.member]-count[x.member], cmp.Compare(x.member, y.member))
	})
	quota := map[string]int{}
	for i, c := range claims {
		quota[c.member] = partitions / len(claims)
		if i < partitions%len(claims) {
			quota[c.member]++
		}
	}
	result := map[string][]int{}
	for _, c := range claims {
		result[c.member] = nil
	}
	var free []int
	for no, who := range owner {
		switch {
		case who == "":
			free = append(free, no)
		case len(result[who]) < quota[who]:
			result[who] = append(result[who], no)
		} // else it moves, but not in this round
	}
	// There is room for the free ones and for those that move.
	for _, no := range free {
		who := claims[0].member
		for _, c := range claims {
			if quota[c.member]-len(result[c.member]) > quota[who]-len(result[who]) {
				who = c.member
			}
		}
		result[who] = append(result[who], no)
	}
	return result
}

// owners gives who has each partition, "" for nobody. If two say so, the one who
// got it later is right; if that does not tell, nobody is.
func owners(partitions int, claims []claim) []string {
	owner, since := make([]string, partitions), slices.Repeat([]int{-1}, partitions)
	for _, c := range claims {
		for _, no := range c.partitions {
			switch {
			case no < 0 || no >= partitions:
			case c.generation > since[no]:
				owner[no], since[no] = c.member, c.generation
			case c.generation == since[no]:
				owner[no] = ""
			}
		}
	}
	return owner
}
