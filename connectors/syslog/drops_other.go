//go:build !linux

package syslog

import "syscall"

// countKernelDrops does nothing: only Linux tells.
func countKernelDrops(_, _ string, _ syscall.RawConn) error { return nil }

func kernelDrops([]byte) (uint32, bool) { return 0, false }
