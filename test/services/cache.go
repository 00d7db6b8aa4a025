package services

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const ourModule = "module github.com/tocsin/tocsin\n"

// cacheDir is the folder for what is fetched: TOCSIN_SERVICES_CACHE if that is
// set, else .cache/services in the repository, where all packages' tests find
// it. Servers that may not run as root must be able to read it too.
func cacheDir() (string, error) {
	dir := os.Getenv("TOCSIN_SERVICES_CACHE")
	if dir == "" {
		root, err := repository()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".cache", "services")
		if unprivileged() != nil && !open(root) {
			dir = "/var/cache/tocsin-services"
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

// repository is the folder above the working folder that holds our go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && bytes.HasPrefix(b, []byte(ourModule)) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not in the repository: set TOCSIN_SERVICES_CACHE to a folder for what is fetched")
		}
		dir = filepath.Dir(dir)
	}
}

// open says whether every user may go to dir.
func open(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// locked runs f while no other process runs one under the same file.
func locked(file string, f func() error) error {
	lock, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
		if err == nil {
			return f()
		}
		if !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock %s: %w", file, err)
		}
	}
}

// once makes the folder or file at path unless it is there. make writes it
// under the name it is given, which becomes path when all is well.
func once(path string, make func(tmp string) error) error {
	if exists(path) {
		return nil
	}
	return locked(path+".lock", func() error {
		if exists(path) { // another process made it meanwhile
			return nil
		}
		tmp := path + ".tmp"
		if err := os.RemoveAll(tmp); err != nil {
			return err
		}
		if err := make(tmp); err != nil {
			return errors.Join(err, os.RemoveAll(tmp))
		}
		return os.Rename(tmp, path)
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// short is a name for the texts: another one where they differ.
func short(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:4])
}
