package rig

import "syscall"

// ownGroup puts a process into a group of its own, so that a wrapper and what
// it runs get signals together, and ends it with us, however we end.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func signalGroup(pid int, sig syscall.Signal) error { return syscall.Kill(-pid, sig) }
