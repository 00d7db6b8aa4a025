package pipelines

import (
	"context"
	"time"
)

// Resume does what waits once, as the loop of RunWaiting does.
func (p *Pipeline) Resume(ctx context.Context) (time.Time, error) { return p.resume(ctx) }
