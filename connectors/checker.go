package connectors

import (
	"context"
	"errors"
	"fmt"
)

// A Checker is a source that can try its settings on examples that stand beside
// them. `tocsin check` asks it.
type Checker interface {
	// Check tells every example that does not come out as it should. It speaks
	// to nobody.
	Check(ctx context.Context) error
}

// Check asks every source that is a [Checker].
func (f *Fleet) Check(ctx context.Context) error {
	var faults []error
	for _, m := range f.members {
		c, ok := m.source.(Checker)
		if !ok {
			continue
		}
		err := c.Check(ctx)
		if joined, many := err.(interface{ Unwrap() []error }); many {
			faults = append(faults, joined.Unwrap()...)
		} else if err != nil {
			faults = append(faults, fmt.Errorf("check %s: %w", m.common.Name, err))
		}
	}
	return errors.Join(faults...)
}
