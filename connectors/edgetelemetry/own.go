package edgetelemetry

import (
	"sync"
	"time"
)

// own remembers which alerts we acknowledged and resolved there, until a pull has
// met them so: our own word is no news. It is forgotten in a restart; then the
// change is told, and is known already.
type own struct {
	mu    sync.Mutex // guards marks
	marks map[string]mark
}

// A mark is one change of ours.
type mark struct {
	status string
	until  time.Time // when it is forgotten
}

const (
	maxMarks = 10_000
	markLife = time.Hour
)

// set remembers a change before it is made, and says whether it was remembered
// already, by an earlier try.
func (o *own) set(id, status string) (again bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	again = o.marks[id].status == status
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
	if len(o.marks) < maxMarks {
		o.marks[id] = mark{status, now.Add(markLife)}
	}
	return again
}

func (o *own) drop(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.marks, id)
}

// took reports whether an alert's new status is our own doing. It says so once.
func (o *own) took(id, status string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	m, known := o.marks[id]
	if !known || m.status != status {
		return false
	}
	delete(o.marks, id)
	return time.Now().Before(m.until)
}
