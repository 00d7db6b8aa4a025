package syslog

import (
	"encoding/binary"
	"syscall"
)

// soRxqOvfl is SO_RXQ_OVFL of linux/socket.h: the kernel tells with each
// datagram how many it has dropped for want of room in the socket's buffer.
const soRxqOvfl = 40

// countKernelDrops asks the kernel to tell.
func countKernelDrops(_, _ string, c syscall.RawConn) error {
	var fault error
	err := c.Control(func(fd uintptr) { fault = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soRxqOvfl, 1) })
	if err == nil && fault != nil {
		return nil // without it, drops of the kernel are not counted
	}
	return err
}

// kernelDrops reads what the kernel told, since the socket was opened.
func kernelDrops(oob []byte) (uint32, bool) {
	if len(oob) == 0 {
		return 0, false
	}
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		if m.Header.Level == syscall.SOL_SOCKET && m.Header.Type == soRxqOvfl && len(m.Data) >= 4 {
			return binary.NativeEndian.Uint32(m.Data), true
		}
	}
	return 0, false
}
