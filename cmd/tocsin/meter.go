package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	redrawEvery = 100 * time.Millisecond // on a terminal
	lineEvery   = 5 * time.Second        // elsewhere
	barWidth    = 24
)

// A meter shows how far a long job has come: a bar that is redrawn on a
// terminal, a line now and then elsewhere. It is used by one goroutine.
type meter struct {
	w        io.Writer
	terminal bool
	unit     func(n int64) string
	start    time.Time
	first    int64 // what was done already when the meter was first told
	told     bool
	shown    time.Time
	width    int // of what is on the terminal's line now
}

func newMeter(p *program, unit func(int64) string) *meter {
	now := time.Now()
	return &meter{w: p.stderr, terminal: p.terminal, unit: unit, start: now, shown: now}
}

// update shows that done of total are done; total is 0 if unknown. note is
// what else there is to say.
func (m *meter) update(done, total int64, note string) {
	if !m.told {
		m.told, m.first = true, done
	}
	now := time.Now()
	pause := lineEvery
	if m.terminal {
		pause = redrawEvery
	}
	if now.Sub(m.shown) < pause {
		return
	}
	m.shown = now
	m.draw(m.line(done, total, now, note))
}

func (m *meter) line(done, total int64, now time.Time, note string) string {
	rate := float64(done-m.first) / max(now.Sub(m.start).Seconds(), 0.001)
	parts := []string{m.unit(done)}
	if total > 0 {
		part := min(float64(done)/float64(total), 1)
		parts[0] = fmt.Sprintf("%3.0f%%  %s of %s", 100*part, m.unit(done), m.unit(total))
		if m.terminal {
			full := int(part * barWidth)
			parts[0] = "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "] " + parts[0]
		}
	}
	parts = append(parts, m.unit(int64(rate))+"/s")
	if total > 0 && rate > 0 {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		parts = append(parts, "ETA "+left.Round(time.Second).String())
	}
	if note != "" {
		parts = append(parts, plain(note, 200))
	}
	return strings.Join(parts, "  ")
}

func (m *meter) draw(line string) {
	if !m.terminal {
		fmt.Fprintln(m.w, line)
		return
	}
	fmt.Fprint(m.w, "\r"+line+strings.Repeat(" ", max(m.width-len(line), 0)))
	m.width = len(line)
}

// close takes the bar away.
func (m *meter) close() {
	if m.terminal && m.width > 0 {
		fmt.Fprint(m.w, "\r"+strings.Repeat(" ", m.width)+"\r")
		m.width = 0
	}
}

func bytesUnit(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.0f kB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func entriesUnit(n int64) string { return fmt.Sprintf("%d entries", n) }
