package splunkhec

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"

	"github.com/tocsin/tocsin/internal/secret"
)

// acks gives ids of acknowledgement and knows them again. A request is answered
// when its events are durable, so an id that was given is acknowledged: all
// there is to know is whether we gave it. It carries its own proof, a piece of
// a MAC over channel and number, and so holds over restarts, on every node and
// for any number of channels, and nothing is stored.
type acks struct {
	key  []byte
	last atomic.Uint64
}

// An id has 53 bits, which every JSON reader keeps: number and proof.
const (
	proofBits  = 20
	numberBits = 53 - proofBits
)

func newAcks(token secret.Secret) *acks {
	sum := sha256.Sum256([]byte("tocsin hec acks\x00" + token.Reveal()))
	a := &acks{key: sum[:]}
	var start [8]byte
	_, _ = rand.Read(start[:]) // never fails; other nodes start elsewhere
	a.last.Store(binary.LittleEndian.Uint64(start[:]))
	return a
}

// issue gives a new id.
func (a *acks) issue(channel string) uint64 {
	n := a.last.Add(1) & (1<<numberBits - 1)
	return n<<proofBits | a.proof(channel, n)
}

// issued reports whether issue gave id for the channel.
func (a *acks) issued(channel string, id uint64) bool {
	n, proof := id>>proofBits, id&(1<<proofBits-1)
	return n < 1<<numberBits && proof == a.proof(channel, n)
}

func (a *acks) proof(channel string, n uint64) uint64 {
	mac := hmac.New(sha256.New, a.key)
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], n)
	mac.Write(number[:])
	mac.Write([]byte(channel))
	return binary.BigEndian.Uint64(mac.Sum(nil)) >> (64 - proofBits)
}
