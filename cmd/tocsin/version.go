package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker, as the Makefile does; nothing else changes it.
var version = ""

// programVersion gives the version, from the build's own record if the linker
// was told nothing.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (versionCmd) Help() string {
	return `Example:
  tocsin version --json`
}

// Run prints the version.
func (c *versionCmd) Run(p *program) error {
	if c.JSON {
		return p.json(map[string]string{"version": programVersion(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	_, err := fmt.Fprintf(p.stdout, "tocsin %s (%s, %s/%s)\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
