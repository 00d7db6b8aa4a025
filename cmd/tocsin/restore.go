package main

import (
	"context"
	"fmt"

	"github.com/tocsin/tocsin/internal/ops"
)

type restoreCmd struct {
	File string `arg:"" help:"Backup that tocsin backup has written."`
	homeFlags
	Force      bool `help:"Restore where there is a hub already. Its files get other names and stay."`
	Unverified bool `help:"Restore also a backup whose audit log was tampered with."`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (restoreCmd) Help() string {
	return `The hub must not run. The backup is copied, read and verified before anything is moved. The restored audit log begins with an entry that says where it comes from.

Examples:
  tocsin restore /backup/tocsin.backup --data ./elsewhere
  tocsin restore --config /etc/tocsin/tocsin.yaml --force /backup/tocsin.backup`
}

// Run restores a backup.
func (c *restoreCmd) Run(ctx context.Context, p *program) error {
	home, _, err := ops.HomeOf(c.Config, c.Data, p.environ)
	if err != nil {
		return err
	}
	s := newSteps(p, c.JSON)
	report, err := ops.Restore(ctx, ops.RestoreOptions{Home: home, File: c.File, Force: c.Force, Unverified: c.Unverified, Progress: s.update})
	s.close()
	if err != nil {
		return err
	}
	if c.JSON {
		return p.json(report)
	}
	for _, f := range report.Files {
		fmt.Fprintf(p.stdout, "restored %s\n", f)
	}
	for _, f := range report.Kept {
		fmt.Fprintf(p.stdout, "kept %s\n", f)
	}
	printLogs(p, report.Logs)
	for _, l := range report.Lost {
		fmt.Fprintf(p.stdout, "lost: %s\n", l)
	}
	return nil
}
