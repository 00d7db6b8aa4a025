package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxSecret bounds a file that a reference names: a key chain fits, a disk
// image named by mistake does not.
const maxSecret = 64 << 10

// expand replaces the references in the text of n. What cannot be replaced is
// reported and makes n broken. No message holds anything that a reference gave.
func (l *loader) expand(n *node, path string) {
	if !strings.Contains(n.text, "${") {
		return
	}
	var out strings.Builder
	for rest := n.text; rest != ""; {
		before, after, found := strings.Cut(rest, "${")
		out.WriteString(before)
		switch {
		case !found:
			rest = ""
		case strings.HasSuffix(before, "$"): // $${ is the text ${
			text := strings.TrimSuffix(out.String(), "$") + "${"
			out.Reset()
			out.WriteString(text)
			rest = after
		case strings.HasPrefix(after, "{"): // ${{ … }} belongs to playbooks and mappings
			out.WriteString("${{")
			rest = after[1:]
		default:
			value, tail, err := l.reference(after)
			if err != nil {
				l.report(n.at, path, err.Error())
				n.kind = broken
				return
			}
			out.WriteString(value)
			n.hidden = true
			rest = tail
		}
	}
	n.text = out.String()
	n.tag = "!!str"
}

// reference gives the value of one reference, of which text is what follows the
// opening brace, and what stands behind it.
func (l *loader) reference(text string) (value, tail string, err error) {
	inside, tail, closed := strings.Cut(text, "}")
	source, name, named := strings.Cut(inside, ":")
	if !closed || !named || name == "" || source != "env" && source != "file" {
		return "", "", errors.New("this reference means nothing; write ${env:NAME} or ${file:PATH}, or $${ for the text ${")
	}
	if source == "env" {
		value = l.environ[name]
		if value == "" {
			return "", "", fmt.Errorf("the environment variable %s is not set; set it, or name another", name)
		}
		return value, tail, nil
	}
	value, err = l.secretFile(name)
	return value, tail, err
}

// secretFile gives the content of a file without the line end that editors put.
func (l *loader) secretFile(name string) (string, error) {
	path := beside(l.folder, name)
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the file %s cannot be read: %w; make it, or name another", path, cause(err))
	}
	defer f.Close()
	text, err := readAll(f, maxSecret)
	switch {
	case err != nil:
		return "", fmt.Errorf("the file %s cannot be read: %w", path, cause(err))
	case len(text) > maxSecret:
		return "", fmt.Errorf("the file %s is longer than 64KiB; name one that holds only the value", path)
	}
	value := strings.TrimRight(string(text), "\r\n")
	if value == "" {
		return "", fmt.Errorf("the file %s is empty; put the value in it", path)
	}
	return value, nil
}

// readAll reads a regular file to its end, but little more than limit bytes.
// Others, such as a pipe that nobody writes to, might never end.
func readAll(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errors.New("it is a folder")
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// beside gives the path of a file that the configuration names.
func beside(folder, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(folder, name)
}

// cause leaves the path and the name of the system call out of an error.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
