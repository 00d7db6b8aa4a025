package cloudoptix

import (
	"context"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A scan is one that an action has begun and whose result is to become findings.
type scan struct {
	Kind   string    `json:"kind"` // image or iac
	ID     string    `json:"id"`
	Repo   string    `json:"repo,omitempty"`
	Branch string    `json:"branch,omitempty"`
	Scope  string    `json:"scope,omitempty"` // which templates, if they have a repository
	Since  time.Time `json:"since"`
}

const (
	scanImage = "image"
	scanIaC   = "iac"
	// patience is how long a scan's result is waited for.
	patience = day
	// maxScans bounds how many scans are awaited at once.
	maxScans = 1000
)

// A handed scan is on its way from an action to the cursor. kept is closed when
// it is there.
type handed struct {
	scan
	kept chan struct{}
}

// handover is how long an action waits for that. A pull that runs may be long,
// and where another node pulls, or nobody, it does not come.
const handover = 5 * time.Second

// await hands a scan to the next pull, asks for one, and reports whether a stored
// cursor has the scan: then its result becomes findings, whatever ends meanwhile.
func (s *Source) await(ctx context.Context, c scan) bool {
	h := handed{c, make(chan struct{})}
	s.mu.Lock()
	room := c.ID != "" && len(s.scans) < maxScans
	if room {
		s.scans = append(s.scans, h)
	}
	s.mu.Unlock()
	if !room || s.wake == nil {
		return false
	}
	s.wake()
	late := time.NewTimer(handover)
	defer late.Stop()
	select {
	case <-h.kept:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

// adopt takes the scans that actions have begun into the cursor, and stores it at
// once, because the actions wait for that.
func (w *pull) adopt() error {
	w.source.mu.Lock()
	taken := slices.Clone(w.source.scans)
	w.source.mu.Unlock()
	if len(taken) == 0 {
		return nil
	}
	for _, h := range taken {
		// One that has waited for long was begun while another node pulled.
		if len(w.Scans) < maxScans && time.Since(h.Since) < patience && !slices.ContainsFunc(w.Scans, h.same) {
			w.Scans = append(w.Scans, h.scan)
		}
	}
	if err := w.hand(true); err != nil {
		return err
	}
	w.source.adopted(taken)
	return nil
}

func (c scan) same(o scan) bool { return c.Kind == o.Kind && c.ID == o.ID }

// adopted lets go of the scans that were taken, and tells those that wait.
func (s *Source) adopted(taken []handed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scans = slices.DeleteFunc(s.scans, func(h handed) bool {
		return slices.ContainsFunc(taken, func(t handed) bool { return t.kept == h.kept })
	})
	for _, h := range taken {
		close(h.kept)
	}
}

// scanned asks for the result of every scan once. One that cannot be had just now
// does not hold up the others; the error is given at the end.
func (w *pull) scanned(ctx context.Context) (failed error) {
	for _, c := range slices.Clone(w.Scans) {
		over, err := w.result(ctx, c)
		late := w.now.Sub(c.Since) > patience
		switch kind := hub.KindOf(err); {
		case kind == hub.NotFound || kind == hub.Invalid || kind == hub.Forbidden:
			w.put(without(c, "the result cannot be had: "+err.Error()))
		case err != nil && (kind != hub.Transient || ctx.Err() != nil):
			return err
		case late && !over:
			w.put(without(c, "it has no result after a day"))
		case err != nil:
			failed = err
			continue
		case !over:
			continue
		}
		w.Scans = slices.DeleteFunc(w.Scans, c.same)
		if err := w.hand(false); err != nil {
			return err
		}
	}
	return failed
}

// An outcome is what came of a scan.
type outcome struct {
	over bool
	connectors.Batch
}

// without is the outcome of a scan that is over and has no result.
func without(c scan, why string) outcome {
	return outcome{over: true, Batch: connectors.Batch{Rejects: []connectors.Reject{c.reject(why)}}}
}

// reject keeps a scan without a result for people to look at.
func (c scan) reject(why string) connectors.Reject {
	item, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		item = nil // the reason is worth more
	}
	return connectors.Reject{Error: c.name() + ": " + why, Item: item}
}

func (c scan) name() string { return c.Kind + " scan " + c.ID }

// put puts what came of a scan into the page; true if it is over.
func (w *pull) put(o outcome) bool {
	w.page.Findings = append(w.page.Findings, o.Findings...)
	w.page.Rejects = append(w.page.Rejects, o.Rejects...)
	return o.over
}

func (w *pull) result(ctx context.Context, c scan) (over bool, err error) {
	if c.Kind == scanImage {
		return w.imageResult(ctx, c)
	}
	return w.templateResult(ctx, c)
}
