package services

import (
	"os/exec"
	"syscall"
)

// quitWithUs has the kernel send the child SIGQUIT when this process ends.
func quitWithUs(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT }
