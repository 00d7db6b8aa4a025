//go:build unix && !linux

package services

import "syscall"

// attributes puts a child into a group of its own. Only Linux can make it die
// with us.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: as}
}

// awaitEnd leaves the waiting to the caller: what the process left behind in
// its group is then not killed.
func awaitEnd(int) {}
