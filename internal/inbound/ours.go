package inbound

import "net/netip"

// Ours tells which of two ends of a connection is the asset that an alert is
// about: the one with an address of a private network if the other's is public,
// otherwise the one that was spoken to. A name counts as private. An end that
// is not known never wins.
func Ours(to, from string) string {
	if to == "" || from != "" && public(to) && !public(from) {
		return from
	}
	return to
}

func public(end string) bool {
	a, err := netip.ParseAddr(end)
	if err != nil {
		return false
	}
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate()
}
