package dedup

import "github.com/tocsin/tocsin/hub"

// Merge makes one decision of two that follow each other on one alert, if both
// are mere repeats of the same kind: b was decided on what a left. The result is
// one version, one change and at most one event, with the fields before a and
// after b. It reports false if the two must stay apart.
func Merge(a, b Decision) (Decision, bool) {
	if !a.mergeable || !b.mergeable || a.Action != b.Action || a.Event != b.Event || a.Reason != b.Reason ||
		a.Alert.ID != b.Alert.ID || b.Alert.Version != a.Alert.Version+1 {
		return Decision{}, false
	}
	alert := *b.Alert
	alert.Version = a.Alert.Version
	b.Alert = &alert
	b.Notify = b.Notify || a.Notify
	b.Changes = join(a.Changes, b.Changes)
	if b.Note == "" {
		b.Note = a.Note
	}
	return b, true
}

// join gives the changes that a and then b made together.
func join(a, b hub.Changes) hub.Changes {
	all := make(hub.Changes, max(len(a), len(b)))
	for field, v := range b {
		if was, there := a[field]; there {
			v[0] = was[0]
		}
		if !undone(v) {
			all[field] = v
		}
	}
	for field, v := range a {
		if _, there := b[field]; !there {
			all[field] = v
		}
	}
	return all
}

// undone tells whether a field is again what it was. Lists and maps count as
// changed.
func undone(v [2]any) bool {
	switch v[0].(type) {
	case []string, map[string]string:
		return false
	}
	switch v[1].(type) {
	case []string, map[string]string:
		return false
	}
	return v[0] == v[1]
}
