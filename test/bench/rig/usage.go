package rig

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// A Usage is what a process has used so far.
type Usage struct {
	CPU     time.Duration // user and system time of all threads
	PeakRSS int64         // bytes
	Read    int64         // bytes that had to come from the disk
	Written int64         // bytes that went to the disk
}

// userHZ is the unit of /proc/<pid>/stat on every architecture that Go runs on.
const userHZ = 100

// UsageOf reads what a process has used from /proc.
func UsageOf(pid int) (Usage, error) {
	var u Usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The second field is the name in brackets and may hold anything; utime and
	// stime are the 14th and 15th.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return u, fmt.Errorf("/proc/%d/stat has only %d fields", pid, len(fields))
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return u, err
		}
		u.CPU += time.Duration(n) * time.Second / userHZ
	}
	if u.PeakRSS, err = entry(pid, "status", "VmHWM:"); err != nil {
		return u, err
	}
	u.PeakRSS <<= 10
	if u.Read, err = entry(pid, "io", "\nread_bytes:"); err != nil {
		return u, err
	}
	u.Written, err = entry(pid, "io", "\nwrite_bytes:")
	return u, err
}

// entry gives the number after a name in a file of /proc/<pid>.
func entry(pid int, file, name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	_, rest, found := bytes.Cut(text, []byte(name))
	words := bytes.Fields(rest)
	if !found || len(words) == 0 {
		return 0, fmt.Errorf("/proc/%d/%s has no %q", pid, file, name)
	}
	return strconv.ParseInt(string(words[0]), 10, 64)
}
