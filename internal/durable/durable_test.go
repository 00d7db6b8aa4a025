package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestWriteFileReplacesTheWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for _, content := range []string{"a long first content", "short", ""} {
		if err := WriteFile(path, []byte(content), Private); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("after writing %q the file holds %q, %v", content, got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != Private {
		t.Errorf("mode %v, want %v", info.Mode().Perm(), Private)
	}
	onlyFile(t, path)
}

func TestWriteFileNarrowsAWideFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("new"), Private); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != Private {
		t.Errorf("mode %v, %v; want %v", info.Mode().Perm(), err, Private)
	}
}

func TestWriteFileLeavesNothingWhenItCannot(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "folder")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(target, []byte("x"), Private); err == nil {
		t.Error("a folder was replaced by a file")
	}
	onlyFile(t, target)
	if err := WriteFile(filepath.Join(dir, "absent", "x"), nil, Private); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a folder that does not exist: %v, want fs.ErrNotExist", err)
	}
}

func TestCreateFileHasOneWinner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	const tries = 16
	var wg sync.WaitGroup
	won := make(chan byte, tries)
	for i := range byte(tries) {
		wg.Go(func() {
			err := CreateFile(path, []byte{i}, Private)
			switch {
			case err == nil:
				won <- i
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("loser %d got %v, want fs.ErrExist", i, err)
			}
		})
	}
	wg.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d of %d won, want 1", len(won), tries)
	}
	winner := <-won
	if got, err := os.ReadFile(path); err != nil || len(got) != 1 || got[0] != winner {
		t.Errorf("file holds %v, %v; want what the winner %d wrote", got, err, winner)
	}
	onlyFile(t, path)
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "c")
	for range 2 { // the second time it is there already
		if err := MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v; want a folder of mode 0700", info, err)
	}
	inTheWay := filepath.Join(dir, "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(inTheWay, "d"), 0o700); err == nil {
		t.Error("a folder was made below a file")
	}
}

// onlyFile checks that no temporary file stays beside path.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("folder holds %v, want only %s", entries, filepath.Base(path))
	}
}
