package echelongraph

import (
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/internal/inbound"
)

// own remembers what we changed there, so that our own word does not come back
// as news. It is forgotten in a restart; then it is told, and is known already.
type own struct {
	mu    sync.Mutex // guards marks
	marks map[string]mark
}

// A mark is one change of ours.
type mark struct {
	status  string
	updated time.Time // by their answer; zero until it came
	until   time.Time // when it is forgotten
}

const (
	maxMarks = 10_000
	markLife = time.Hour
)

func (o *own) set(kind, id string, m mark) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.marks == nil {
		o.marks = map[string]mark{}
	}
	if len(o.marks) >= maxMarks {
		for k, old := range o.marks {
			if now.After(old.until) {
				delete(o.marks, k)
			}
		}
	}
	m.until = now.Add(markLife)
	if len(o.marks) < maxMarks {
		o.marks[inbound.Key(kind, id)] = m
	}
}

func (o *own) drop(kind, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.marks, inbound.Key(kind, id))
}

// did reports whether an item is as we left it.
func (o *own) did(list string, x entity) bool {
	kind := "alert"
	switch list {
	case "incidents":
		if x.ours() {
			return true
		}
		kind = "incident"
	case "vulnerabilities":
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	m, known := o.marks[inbound.Key(kind, string(x.ID))]
	return known && time.Now().Before(m.until) && m.status == string(x.Status) && (m.updated.IsZero() || m.updated.Equal(x.UpdatedAt.Time))
}

// signature stands in the description of the incidents that we create, with the
// key of the step that did: by it a repeat finds what the first try has made,
// and a pull knows that an incident is ours.
const signature = "[tocsin "

func signed(description, key string) string {
	return strings.TrimSpace(description + "\n\n" + signature + key + "]")
}

// ours reports whether an incident is one that we created and nobody has changed.
func (x entity) ours() bool {
	return strings.Contains(string(x.Description), signature) && !x.closed() && x.UpdatedAt.Equal(x.CreatedAt.Time)
}
