package services

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes puts a child into a group of its own and lets it die with us. The
// kernel forgets the second at a change of user; package syscall asks for it
// after that change.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: as}
}

// awaitEnd returns when the process has ended and leaves it unreaped, so that
// its number is still its own.
func awaitEnd(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}
