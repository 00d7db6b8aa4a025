package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lockPatience is how long a lock is waited for: another hub may be stopping.
const lockPatience = 3 * time.Second

// ErrInUse says that another process works on the database.
var ErrInUse = errors.New("another process works on the database")

// A Lock says that this process alone writes to a file. SQLite would let two hubs
// write in turns, but each remembers what it has written, so that the second one
// would fork the audit log. It ends with the process, however that ends.
type Lock struct{ f *os.File }

// TakeLock takes the lock of the file at path, which need not exist. If another
// process holds it for long the error is [ErrInUse].
func TakeLock(ctx context.Context, path string) (*Lock, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, classify(err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		got, err := tryLock(f)
		switch {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		case got:
			return &Lock{f}, noteHolder(f)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%w: a tocsin%s has %s open; stop it first", ErrInUse, holder(f), filepath.Clean(path)), f.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// noteHolder writes into the file who holds the lock, for people.
func noteHolder(f *os.File) error {
	err := f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	return err
}

func holder(f *os.File) string {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0) // it only makes the message better
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

// Release gives the lock up. The file stays: removing it could take it away from
// under who has just locked it.
func (l *Lock) Release() error { return l.f.Close() }
