package connectors

// refusals are the unusable items that a loop has kept. A list tells of an item at
// every reading, and it is to be kept and counted once: for as long as the process
// lives, or until it says something else.
type refusals map[Digest]bool

// maxRefusals bounds them. Whoever sends more has them kept and counted again.
const maxRefusals = 10_000

// fresh gives those that have not been kept, each once.
func (r refusals) fresh(all []Reject) (out []Reject) {
	here := refusals{}
	for _, x := range all {
		if d := digestOf(x); !r[d] && !here[d] {
			here[d] = true
			out = append(out, x)
		}
	}
	return out
}

// keep takes note of what has been kept.
func (r refusals) keep(all []Reject) {
	if len(r)+len(all) > maxRefusals {
		clear(r)
	}
	for _, x := range all {
		r[digestOf(x)] = true
	}
}

// digestOf leaves the place out: that shifts.
func digestOf(r Reject) Digest { return DigestOf(r.Error, string(r.Item)) }
