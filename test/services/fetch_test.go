package services

import (
	"archive/zip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Only what SHA256SUMS names is taken, all of it, and unchanged.
func TestVerify(t *testing.T) {
	const sumOfA = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // of "a", FIPS 180
	want := map[string]string{"a.jar": sumOfA, "b.jar": sumOfA}
	for _, c := range []struct {
		name  string
		files map[string]string
		wrong string
	}{
		{"as listed", map[string]string{"a.jar": "a", "b.jar": "a"}, ""},
		{"changed", map[string]string{"a.jar": "a", "b.jar": "A"}, "b.jar has the SHA-256 sum"},
		{"missing", map[string]string{"a.jar": "a"}, "b.jar is missing"},
		{"unasked", map[string]string{"a.jar": "a", "b.jar": "a", "c.jar": "a"}, "c.jar is not in SHA256SUMS"},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			write(t, filepath.Join(dir, name), text)
		}
		if err := verify(dir, want); (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.wrong)
		}
	}
}

// Every version in the pom has its sums: a change of one without the other shows
// here, not at the next fetch.
func TestSumsFitThePom(t *testing.T) {
	for profile, files := range map[string][]string{
		"kafka":         {"kafka_2.13-" + version(t, "kafka_2.13") + ".jar", "log4j-slf4j-impl-" + version(t, "log4j-slf4j-impl") + ".jar"},
		"elasticsearch": {"elasticsearch-" + version(t, "elasticsearch") + ".zip"},
	} {
		for _, f := range files {
			if len(sumsOf(profile)[f]) != 64 {
				t.Errorf("SHA256SUMS has no line for %s/%s", profile, f)
			}
		}
	}
}

// version is that of an artefact in the pom.
func version(t *testing.T, artefact string) string {
	t.Helper()
	_, after, found := strings.Cut(pom, "<artifactId>"+artefact+"</artifactId>")
	_, after, found2 := strings.Cut(after, "<version>")
	v, _, found3 := strings.Cut(after, "</version>")
	if !found || !found2 || !found3 {
		t.Fatalf("the pom has no %s", artefact)
	}
	return v
}

func TestUnzip(t *testing.T) {
	for _, c := range []struct {
		name, file string
		wrong      bool
	}{
		{"plain", "top/lib/a.jar", false},
		{"out of the folder", "top/../../a.jar", true},
		{"from the root", "top//etc/a.jar", true},
	} {
		dir := t.TempDir()
		zipped(t, filepath.Join(dir, "x.zip"), c.file)
		err := unzip(dir)
		if (err != nil) != c.wrong {
			t.Errorf("%s: got %v, want an error: %v", c.name, err, c.wrong)
		}
		if c.wrong {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, "lib", "a.jar")); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v; want a file that all may read", c.name, info, err)
		}
		if exists(filepath.Join(dir, "x.zip")) {
			t.Errorf("%s: the zip file is still there", c.name)
		}
	}
}

func zipped(t *testing.T, file, name string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	if _, err := z.Create(name); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// Of many who want a thing one makes it, and who fails leaves nothing behind.
func TestOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "thing")
	failed := errors.New("no room")
	if err := once(path, func(tmp string) error { write(t, tmp, "half"); return failed }); !errors.Is(err, failed) || exists(path) || exists(path+".tmp") {
		t.Fatalf("got %v, left %v %v; want the error and nothing left", err, exists(path), exists(path+".tmp"))
	}
	var wg sync.WaitGroup
	made := make(chan bool, 20)
	for range cap(made) {
		wg.Go(func() {
			if err := once(path, func(tmp string) error { made <- true; return os.Mkdir(tmp, 0o755) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(made) != 1 || !exists(path) {
		t.Errorf("it was made %d times, is there: %v; want once", len(made), exists(path))
	}
}

func TestJavaVersion(t *testing.T) {
	for release, want := range map[string]int{
		"IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\n": 17,
		"JAVA_VERSION=\"1.8.0_422\"\n":                       8,
		"JAVA_VERSION=\"21\"":                                21,
		"JAVA_VERSION=\"25-ea\"\n":                           25,
		"":                                                   0,
	} {
		if got := javaVersion(release); got != want {
			t.Errorf("javaVersion(%q) = %d, want %d", release, got, want)
		}
	}
}

func TestProperties(t *testing.T) {
	got := properties(map[string]string{"b": "two\nlines", "a": `back\slash "quoted"`})
	if want := "a=back\\\\slash \"quoted\"\nb=two\\nlines\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLaunchNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "\x00", 127: "\x7f", 128: "\x80\x01", 300: "\xac\x02", 16384: "\x80\x80\x01"} {
		var b wire
		if b.number(n); string(b) != want {
			t.Errorf("number(%d) = %q, want %q", n, b, want)
		}
	}
	var b wire
	if b.text("Schlüssel"); string(b) != "\x09Schlüssel" {
		t.Errorf("text = %q, want the count of characters in front", b)
	}
}
