// Package playbooks holds the example playbooks as files, so that the demo can
// run them outside the source tree. README.md tells how to write one.
package playbooks

import "embed"

// Files are the playbooks with their test cases.
//
//go:embed *.yaml
var Files embed.FS
