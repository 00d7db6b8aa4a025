package cloudoptix

import "context"

type stock struct {
	Things map[string]thing `json:"things,omitempty"`
}
type thing struct{}
type scan struct{}

func (w *pull) adopt() int                       { return 0 }
func (w *pull) scanned(_ context.Context) error   { return nil }
func (w *pull) inventory(_ context.Context) error { return nil }
