package postgres_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/internal/store/driver"
	"github.com/tocsin/tocsin/internal/store/postgres"
	"github.com/tocsin/tocsin/test/services"
)

// smallDisk mounts a file system of the size that the server may write to.
func smallDisk(t *testing.T, dsn string, bytes int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tocsin-small-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
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
	info, err := os.Stat(ask(t, dsn, "SHOW data_directory")[0])
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A disk that is full makes callers wait for better times, and is used again by
// itself when there is room. Nothing that was acknowledged is lost.
func TestFullDisk(t *testing.T) {
	admin := services.Postgres(t).DSN(t)
	dir := smallDisk(t, admin, 40<<20)
	ask(t, admin, "CREATE TABLESPACE small LOCATION '"+dir+"'", "CREATE DATABASE small TABLESPACE small")
	t.Cleanup(func() { ask(t, admin, "DROP DATABASE small WITH (FORCE)", "DROP TABLESPACE small") })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 12<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, postgres.Options{URL: admin[:strings.LastIndexByte(admin, '/')] + "/small"})
	body := make([]byte, 256<<10)
	_, _ = rand.Read(body)
	var kept []int64
	put := func() error {
		var seq int64
		err := s.Do(t.Context(), func(tx *store.Tx) error {
			seq = tx.NextSequence()
			tx.AddEvent(hub.EventRecord{Sequence: seq, Tenant: "default", Body: body})
			return nil
		})
		if err == nil {
			kept = append(kept, seq)
		}
		return err
	}
	err := put()
	for n := 0; err == nil && n < 1000; n++ {
		err = put()
	}
	if hub.KindOf(err) != hub.Transient || driver.KindOf(err) != driver.Full {
		t.Fatalf("a full disk gives %v, want a transient error of kind %q", err, driver.Full)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	comesBack(t, s)
	for range 10 {
		if err := put(); err != nil {
			t.Errorf("with room again: %v", err)
		}
	}
	var stored []int64
	err = s.View(t.Context(), func(r *store.Reader) error {
		all, err := r.EventsAfter("default", 0, 1e6)
		for i := range all {
			stored = append(stored, all[i].Sequence)
		}
		return err
	})
	if fmt.Sprint(stored) != fmt.Sprint(kept) || err != nil {
		t.Errorf("stored are %v and acknowledged %v; error %v", stored, kept, err)
	}
}
