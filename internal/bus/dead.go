package bus

// Headers of a dead letter, beside those that the message had.
const (
	DeadReason   = "dead-reason"   // what the last handler said
	DeadStage    = "dead-stage"    // the group whose handler it was
	DeadAttempts = "dead-attempts" // how many times it was delivered
	DeadTopic    = "dead-topic"    // where it came from
	DeadPosition = "dead-position" // its place there
)

// A DeadLetter is a message that no handler of a group could take.
type DeadLetter struct {
	Position int64 // its place in the topic deadletters; later ones have higher ones
	At       int64 // when it became one, in microseconds

	ID       string
	Tenant   string
	Key      string
	Topic    string // where it came from
	Stage    string // the group that could not take it
	Reason   string
	Attempts int
	Payload  []byte
}
