package inbound

import (
	"strings"

	"github.com/tocsin/tocsin/hub"
)

// Severity maps a word for how bad something is; false if it is none that is
// known. Kinds whose format fixes the words have tables of their own.
func Severity(word string) (hub.Severity, bool) {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "critical", "crit", "fatal", "emergency", "emerg", "alert", "page", "disaster":
		return hub.Critical, true
	case "high", "error", "err", "major", "severe":
		return hub.High, true
	case "medium", "moderate", "warning", "warn", "average":
		return hub.Medium, true
	case "low", "minor", "notice":
		return hub.Low, true
	case "info", "informational", "information", "debug", "none", "negligible":
		return hub.Info, true
	}
	return "", false
}

// SeverityOr maps a word: none at all gives missing, and one that is not known
// is high, because too loud is noticed and mended, and too quiet is not.
func SeverityOr(word string, missing hub.Severity) hub.Severity {
	if strings.TrimSpace(word) == "" {
		return missing
	}
	if s, ok := Severity(word); ok {
		return s
	}
	return hub.High
}

// Score maps a score from 0 to 10 as CVSS 3 and later name them.
func Score(score float64) hub.Severity {
	switch {
	case score >= 9:
		return hub.Critical
	case score >= 7:
		return hub.High
	case score >= 4:
		return hub.Medium
	case score > 0:
		return hub.Low
	}
	return hub.Info
}
