package sqlite_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/sqlite"
)

// smallDisk mounts a file system of the size and gives its folder.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tocsin-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount a small disk: %v; the tests of a full disk need root in CI", err)
		}
		t.Skipf("NOT TESTED: a full disk, because mounting one needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func openAt(t *testing.T, path string) *store.Store {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, CacheBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), e, store.Options{ProbeEvery: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A disk that is full makes callers wait for better times, and is used again by
// itself when there is room. Nothing that was acknowledged is lost.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 8<<20)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, filepath.Join(dir, "db"))
	var kept []int64
	put := func() error {
		var seq int64
		err := s.Do(t.Context(), func(tx *store.Tx) error {
			seq = tx.NextSequence()
			tx.AddEvent(hub.EventRecord{Sequence: seq, Tenant: "default", Body: bytes.Repeat([]byte{1}, 4096)})
			return nil
		})
		if err == nil {
			kept = append(kept, seq)
		}
		return err
	}
	err := put()
	for n := 0; err == nil && n < 1e5; n++ {
		err = put()
	}
	if hub.KindOf(err) != hub.Transient || driver.KindOf(s.Health()) != driver.Full {
		t.Fatalf("a full disk gives %v and the health %v, want a transient error and kind %q", err, s.Health(), driver.Full)
	}
	start := time.Now()
	for range 100 {
		if put() == nil {
			break // a little room was found after all
		}
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("100 refusals took %v, want them at once", d)
	}
	checkKept(t, s, kept)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); s.Health() != nil; time.Sleep(time.Millisecond) { // it tries by itself
		if time.Since(start) > 10*time.Second {
			t.Fatalf("the store does not come back: %v", s.Health())
		}
	}
	for range 20 {
		if err := put(); err != nil {
			t.Errorf("with room again: %v", err)
		}
	}
	checkKept(t, s, kept)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = openAt(t, filepath.Join(dir, "db"))
	checkKept(t, s, kept)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// checkKept checks that every number was kept, and given out once.
func checkKept(t *testing.T, s *store.Store, kept []int64) {
	t.Helper()
	there := map[int64]bool{}
	err := s.View(t.Context(), func(r *store.Reader) error {
		all, err := r.EventsAfter("default", 0, 1e6)
		for i := range all {
			there[all[i].Sequence] = true
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	once := map[int64]bool{}
	for _, seq := range kept {
		if !there[seq] || once[seq] {
			t.Errorf("event %d was acknowledged; it is there: %v, given out before: %v", seq, there[seq], once[seq])
		}
		once[seq] = true
	}
}
