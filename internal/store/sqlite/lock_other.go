//go:build !unix

package sqlite

import "os"

// tryLock does nothing where there is no flock.
func tryLock(*os.File) (bool, error) { return true, nil }
