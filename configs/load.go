package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// maxFile bounds the config file, so that a wrong name does not fill the memory.
const maxFile = 1 << 20

// Load reads the file at path, or none if path is "", and the environment, given
// as [os.Environ] does; of a variable that is there twice the last one counts, so
// a flag can be appended as one. The error is of type [Problems] and tells
// everything that is wrong; the Config that comes with it holds what could be
// read, so that a check can go on to what it refers to.
func Load(path string, environ []string) (*Config, error) {
	c := Default()
	l := &loader{
		file: path, environ: map[string]string{},
		places: map[string]place{"": {file: path}}, bad: map[string]bool{}, hidden: map[string]bool{},
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		l.environ[name] = value
	}
	if path != "" {
		l.folder = filepath.Dir(path)
		l.read(c)
	}
	l.override(c)
	c.places = l.places
	l.check(c)
	l.problems.Sort()
	return c, l.problems.Err()
}

// A loader gathers what is known while a configuration is read.
type loader struct {
	file     string // as problems name it
	folder   string // of the file; what relative paths are beside
	environ  map[string]string
	places   map[string]place
	bad      map[string]bool // paths with a value that could not be taken
	hidden   map[string]bool // paths with a value that no problem may show
	problems Problems
}

// report notes a problem.
func (l *loader) report(at place, path, text string) {
	l.problems = append(l.problems, at.problem(path, text))
}

// fault notes that the value at path could not be taken.
func (l *loader) fault(at place, path, text string) {
	l.bad[path] = true
	l.report(at, path, text)
}

// read takes the file into c.
func (l *loader) read(c *Config) {
	text, err := readFile(l.file)
	if err != nil {
		l.report(place{file: l.file}, "", "cannot be read: "+err.Error())
		return
	}
	if n := l.parse(text); n != nil {
		l.decode(n, reflect.ValueOf(c).Elem(), "", field{})
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no such file; name one that exists, or none for the defaults")
	}
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	text, err := readAll(f, maxFile)
	if err == nil && len(text) > maxFile {
		err = errors.New("it is longer than 1MiB; a config file is much shorter")
	}
	return text, cause(err)
}
