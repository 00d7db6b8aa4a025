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
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	_, rest, found := bytes.Cut(status, []byte("VmHWM:"))
	if !found {
		return u, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
	}
	kb, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
	u.PeakRSS = kb << 10
	return u, err
}
