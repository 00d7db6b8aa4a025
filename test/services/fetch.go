package services

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed pom.xml
var pom string

//go:embed SHA256SUMS
var sums string

// fetchTime is how long Maven may take for the largest of them, 100 MB.
const fetchTime = 10 * time.Minute

// artefacts gives the folder with the files of one of the pom's profiles, as
// Maven has them and as SHA256SUMS wants them. prepare may change the folder
// before others see it.
func artefacts(ctx context.Context, profile string, prepare func(dir string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	want := sumsOf(profile)
	dir := filepath.Join(cache, profile+"-"+short(fmt.Sprint(want)))
	err = once(dir, func(tmp string) error {
		if err := download(ctx, profile, tmp); err != nil {
			return err
		}
		if err := verify(tmp, want); err != nil {
			return fmt.Errorf("what Maven fetched for %s: %w", profile, err)
		}
		return prepare(tmp)
	})
	return dir, err
}

// download has Maven copy the files of a profile into dir.
func download(ctx context.Context, profile, dir string) error {
	mvn, err := need("mvn", "install Maven (Debian: apt-get install maven)")
	if err != nil {
		return err
	}
	if _, err := findJava(); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "tocsin-fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	file := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(file, []byte(pom), 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	err = command{
		name: "mvn", path: mvn, dir: work, log: filepath.Join(work, "log"), env: os.Environ(),
		args: []string{
			"-q", "-B", "-Dstyle.color=never", "-f", file, "-P", profile,
			"org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=" + dir,
		},
	}.run(ctx)
	if err != nil {
		return &missingError{"the download of " + profile, "Maven could not fetch it; run make deps with a network. " + err.Error()}
	}
	return os.Chmod(dir, 0o755)
}

// sumsOf gives the lines of SHA256SUMS under a folder: name to sum.
func sumsOf(folder string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(sums) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if dir, name := path.Split(file); dir == folder+"/" {
			all[name] = sum
		}
	}
	return all
}

// verify compares the files of dir with their sums: none may differ, be missing
// or be there unasked.
func verify(dir string, want map[string]string) error {
	got, err := sumFiles(dir)
	if err != nil {
		return err
	}
	var wrong error
	for name, sum := range got {
		if want[name] == "" {
			wrong = errors.Join(wrong, fmt.Errorf("%s is not in SHA256SUMS", name))
		} else if want[name] != sum {
			wrong = errors.Join(wrong, fmt.Errorf("%s has the SHA-256 sum %s, want %s", name, sum, want[name]))
		}
	}
	for name := range want {
		if got[name] == "" {
			wrong = errors.Join(wrong, fmt.Errorf("%s is missing", name))
		}
	}
	return wrong
}

func sumFiles(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, e := range entries {
		if all[e.Name()], err = sumFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func sumFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// WriteSums fetches everything anew and writes the SHA256SUMS it would need, for
// whoever changes a version in pom.xml.
func WriteSums(ctx context.Context, w io.Writer) error {
	for _, profile := range []string{"elasticsearch", "kafka"} {
		dir, err := os.MkdirTemp("", "tocsin-sums-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := download(ctx, profile, dir); err != nil {
			return err
		}
		got, err := sumFiles(dir)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(got)) {
			if _, err := fmt.Fprintf(w, "%s  %s/%s\n", got[name], profile, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// unzip unpacks the one zip file in dir beside it, without the folder that its
// names begin with, readable for every user, and deletes it.
func unzip(dir string) error {
	found, _ := filepath.Glob(filepath.Join(dir, "*.zip"))
	if len(found) != 1 {
		return fmt.Errorf("there are %d zip files, want one", len(found))
	}
	z, err := zip.OpenReader(found[0])
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		_, name, _ := strings.Cut(f.Name, "/")
		if err := unpack(f, dir, name); err != nil {
			return fmt.Errorf("unpack %s: %w", f.Name, err)
		}
	}
	return os.Remove(found[0])
}

func unpack(f *zip.File, dir, name string) error {
	to := filepath.Join(dir, filepath.FromSlash(name))
	if f.FileInfo().IsDir() {
		return errors.Join(os.MkdirAll(to, 0o755), os.Chmod(to, 0o755))
	}
	if !filepath.IsLocal(name) {
		return errors.New("its name leads elsewhere")
	}
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	return errors.Join(err, out.Chmod(0o644), out.Close())
}
