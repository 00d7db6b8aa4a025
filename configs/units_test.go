package configs

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"15s": 15 * time.Second, "1h30m": 90 * time.Minute, "0s": 0, "0": 0, "7d": 168 * time.Hour,
		"1d12h": 36 * time.Hour, "0d": 0, "-5s": -5 * time.Second, "1.5h": 90 * time.Minute, "100ms": 100 * time.Millisecond,
	} {
		if got, ok := parseDuration(text); got != want || !ok {
			t.Errorf("%q: got %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "15", "d", "1.5d", "-1d", "1d-5s", "1d1d", "1dx", "99999999d", "1d25h", "h", "1 h", "1w"} {
		if got, ok := parseDuration(text); ok {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
	for want, d := range map[string]time.Duration{
		"24h": day, "7d": 7 * day, "2d": 2 * day, "2m": 2 * time.Minute, "1m30s": 90 * time.Second, "1h": time.Hour,
		"1h0m5s": time.Hour + 5*time.Second, "10s": 10 * time.Second, "0s": 0, "10m": 10 * time.Minute, "20h": 20 * time.Hour,
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestDurationsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(60_000*day)).Draw(t, "d"))
		if rapid.Bool().Draw(t, "whole") {
			d = d.Truncate(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, day}).Draw(t, "unit"))
		}
		if got, ok := parseDuration(formatDuration(d)); !ok || got != d {
			t.Fatalf("%v is written %s and read as %v", d, formatDuration(d), got)
		}
	})
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"0B": 0, "5MiB": 5 << 20, "1GB": 1e9, "64 KiB": 64 << 10, "2kB": 2000, "2KB": 2000, "7B": 7, "1TiB": 1 << 40} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "5", "-1B", "1.5MiB", "5M", "5mib", "9999999TiB", "9223372036854775808B", "MiB"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := Size(rapid.Int64Min(0).Draw(t, "size"))
		text, _ := want.MarshalText()
		var got Size
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Fatalf("%d is written %s and read as %d, %v", want, text, got, err)
		}
	})
}
