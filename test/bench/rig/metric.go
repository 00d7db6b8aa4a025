package rig

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// sumMetric adds up series on a page in Prometheus' text format.
func sumMetric(page []byte, name string, labels []string) (float64, error) {
	var sum float64
	for line := range bytes.Lines(page) {
		text := strings.TrimSpace(string(line))
		rest, found := strings.CutPrefix(text, name)
		if !found || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		if !holdsAll(rest, labels) {
			continue
		}
		v, err := strconv.ParseFloat(text[strings.LastIndexByte(text, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += v
	}
	return sum, nil
}

func holdsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
