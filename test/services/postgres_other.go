//go:build unix && !linux

package services

import "os/exec"

// quitWithUs changes nothing: only Linux can do this.
func quitWithUs(*exec.Cmd) {}
