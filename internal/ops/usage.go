package ops

// A UsageError says that a command was given something that cannot be, before
// anything was done.
type UsageError struct{ Msg string }

// Error gives the sentence.
func (e *UsageError) Error() string { return e.Msg }
