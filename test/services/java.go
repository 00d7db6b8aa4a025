package services

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// oldestJava is the version that both Kafka 4 and Elasticsearch 8 ask for.
const oldestJava = 17

// A java is an installed Java machine.
type java struct {
	path    string // of the program
	release string // what it says about itself; another text for another build
}

// findJava looks in JAVA_HOME, then in the path.
func findJava() (java, error) {
	const get = "install Java 17 or later (Debian: apt-get install openjdk-17-jre-headless)"
	path := filepath.Join(os.Getenv("JAVA_HOME"), "bin", "java")
	if os.Getenv("JAVA_HOME") == "" {
		var err error
		if path, err = need("java", get); err != nil {
			return java{}, err
		}
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return java{}, &missingError{"java", get + ": " + err.Error()}
	}
	release, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(path)), "release"))
	if err != nil {
		return java{path: path}, nil // whoever has an unusual one may know what they do
	}
	if v := javaVersion(string(release)); v < oldestJava {
		return java{}, &missingError{fmt.Sprintf("Java %d (there is %d)", oldestJava, v), get}
	}
	return java{path, string(release)}, nil
}

// javaVersion reads the feature version out of a release file: 17 of "17.0.15",
// 8 of "1.8.0_422".
func javaVersion(release string) int {
	for line := range strings.Lines(release) {
		text, found := strings.CutPrefix(strings.TrimSpace(line), "JAVA_VERSION=")
		if !found {
			continue
		}
		text = strings.TrimPrefix(strings.Trim(text, `"`), "1.")
		end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			text = text[:end]
		}
		n, _ := strconv.Atoi(text)
		return n
	}
	return 0
}
