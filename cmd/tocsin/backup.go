package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/internal/ops"
)

// A homeFlags says whose hub a command is about.
type homeFlags struct {
	Config string `placeholder:"FILE" help:"The hub's configuration, for where it keeps its database, audit key and checkpoints."`
	Data   string `placeholder:"DIR" help:"The hub's data folder, in place of store.dir; ./tocsin-data if nothing is named."`
}

type backupCmd struct {
	File string `arg:"" help:"File to write."`
	homeFlags
	Force      bool `help:"Replace FILE, once the new backup is complete."`
	WithoutKey bool `help:"Leave the audit log's private key out. A restore then needs it from elsewhere."`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (backupCmd) Help() string {
	return `The hub may be running: the backup is the state of one moment. It is one file, readable by its owner only, with the database, the audit key, the public key and the checkpoints; it is read back and its audit log verified before it gets its name. The configuration and the playbooks are not in it.

Examples:
  tocsin backup /backup/tocsin.backup
  tocsin backup --config /etc/tocsin/tocsin.yaml "/backup/tocsin-$(date +%F).backup"`
}

// Run writes a backup.
func (c *backupCmd) Run(ctx context.Context, p *program) error {
	home, _, err := ops.HomeOf(c.Config, c.Data, p.environ)
	if err != nil {
		return err
	}
	s := newSteps(p, c.JSON)
	report, err := ops.Backup(ctx, ops.BackupOptions{
		Home: home, File: c.File, Force: c.Force, WithoutKey: c.WithoutKey, Version: programVersion(), Progress: s.update,
	})
	s.close()
	if report == nil {
		return err
	}
	if c.JSON {
		if jsonErr := p.json(report); err == nil {
			err = jsonErr
		}
		return err
	}
	fmt.Fprintf(p.stdout, "%s: %s, with %s, as of %s\n", report.File, bytesUnit(report.Bytes), strings.Join(report.Files, ", "), clock(report.TakenAt))
	printLogs(p, report.Logs)
	return err
}

func printLogs(p *program, logs []ops.LogReport) {
	for _, l := range logs {
		fmt.Fprintf(p.stdout, "audit log of %s: %s\n", l.Tenant, l.Text)
	}
}

// A steps shows a job of several steps, each with a meter of its own.
type steps struct {
	p     *program
	quiet bool
	kind  string
	m     *meter
}

func newSteps(p *program, quiet bool) *steps { return &steps{p: p, quiet: quiet} }

// update shows how far a step has come. Its first word says what is counted.
func (s *steps) update(step string, done, total int64) {
	if s.quiet {
		return
	}
	if total == 0 { // nobody knows how far it is
		s.close()
		if s.p.terminal {
			fmt.Fprintln(s.p.stderr, step)
		}
		return
	}
	kind, _, _ := strings.Cut(step, " ")
	if s.m == nil || kind != s.kind {
		s.close()
		unit := map[string]func(int64) string{"copying": bytesUnit, "verifying": entriesUnit}[kind]
		if unit == nil {
			unit = func(n int64) string { return fmt.Sprintf("%d rows", n) }
		}
		s.m, s.kind = newMeter(s.p, unit), kind
	}
	s.m.update(done, total, step)
}

func (s *steps) close() {
	if s.m != nil {
		s.m.close()
		s.m = nil
	}
}
