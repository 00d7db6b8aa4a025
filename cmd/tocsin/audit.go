package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ops"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Check an audit log offline."`
	Export auditExportCmd `cmd:"" help:"Write the audit log to a file."`
}

// Help gives an example.
func (auditCmd) Help() string {
	return `Examples:
  tocsin audit verify --data ./tocsin-data
  tocsin audit export --data ./tocsin-data -o audit.ndjson`
}

type auditVerifyCmd struct {
	Data       string `xor:"folder" placeholder:"DIR" help:"Data folder of a hub, which may be running; ./tocsin-data if nothing is named. Beside --store: where the key and the checkpoints are."`
	Store      string `xor:"log" placeholder:"URL" help:"Database, as store.url of the configuration: sqlite:PATH or postgres://…; TOCSIN_STORE_URL keeps its password out of the list of processes."`
	File       string `xor:"log,folder" placeholder:"EXPORT" help:"Export to check; - is standard input."`
	Checkpoint string `placeholder:"FILE" help:"Checkpoints that were kept elsewhere; audit.checkpoints in the data folder if not given."`
	Key        string `placeholder:"PUBKEY" help:"Public key or a file with it; the one in the data folder if not given."`
	Tenant     string `default:"default" help:"Whose log."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Help gives an example and the exit codes.
func (auditVerifyCmd) Help() string {
	return `Needs no running hub and trusts none. Of a log that was changed it names the first entry concerned and the kind of change.

Exit codes:
  0  intact
  1  tampered
  2  unreadable
  3  intact, but the tail is not covered by a checkpoint, or the log is older than a known one

Examples:
  tocsin audit verify
  tocsin audit verify --file audit.ndjson --key audit.pub --checkpoint kept-elsewhere.txt`
}

// Run verifies a log.
func (c *auditVerifyCmd) Run(ctx context.Context, p *program) error {
	o := ops.AuditOptions{
		Data: c.Data, Store: c.Store, File: c.File, Stdin: p.stdin, Checkpoint: c.Checkpoint, Key: c.Key, Tenant: hub.TenantID(c.Tenant),
	}
	if c.Store == "" && c.File == "" {
		o.Data, o.Store = or(c.Data, dataFolder()), os.Getenv("TOCSIN_STORE_URL")
	}
	m := newMeter(p, entriesUnit)
	if !c.JSON && p.terminal {
		o.Progress = func(done, total int64) { m.update(done, total, "") }
	}
	report, err := ops.Verify(ctx, o)
	m.close()
	if err != nil {
		return err
	}
	if c.JSON {
		err = p.json(report)
	} else {
		_, err = fmt.Fprintln(p.stdout, report.String())
	}
	if code := report.ExitCode(); err == nil && code != exitOK {
		if next := afterVerdict(code); next != "" && !c.JSON {
			fmt.Fprintln(p.stderr, "tocsin: "+next)
		}
		return exit(code)
	}
	return err
}

// afterVerdict says what to do next.
func afterVerdict(code int) string {
	switch code {
	case 1:
		return "the log was changed after it was written; keep this copy as evidence, and compare it with an earlier export"
	case 2:
		return "nothing can be said of the log; name it by --data, --store or --file"
	case 3:
		return "what is there is intact; compare it with the newest checkpoint you keep elsewhere, given with --checkpoint and its --key"
	}
	return ""
}

type auditExportCmd struct {
	hubFlags
	Data   string `placeholder:"DIR" help:"Data folder of a hub to read in place of asking the hub."`
	Format string `enum:"ndjson,json,csv" default:"ndjson" help:"One of ${enum}. Only ndjson brings its checkpoint along."`
	Output string `short:"o" default:"-" placeholder:"FILE" help:"File to write; standard output if not given."`
	Tenant string `default:"default" help:"Whose log, with --data."`
}

// Help gives an example.
func (auditExportCmd) Help() string {
	return `The file is put in place when it is complete.

Examples:
  tocsin audit export -o audit.ndjson
  tocsin audit export --data ./tocsin-data --format csv -o audit.csv`
}

// Run writes the export.
func (c *auditExportCmd) Run(ctx context.Context, p *program) error {
	if c.Output == "-" {
		return c.write(ctx, p, p.stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(c.Output), ".tocsin-export-*")
	if err != nil {
		return fmt.Errorf("%w; name another file with -o", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already if all went well
	err = errors.Join(c.write(ctx, p, f), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), c.Output)
}

func (c *auditExportCmd) write(ctx context.Context, p *program, w io.Writer) error {
	if c.Data != "" {
		m := newMeter(p, entriesUnit)
		defer m.close()
		o := ops.AuditOptions{Data: c.Data, Tenant: hub.TenantID(c.Tenant)}
		if p.terminal && c.Output != "-" {
			o.Progress = func(done, total int64) { m.update(done, total, "") }
		}
		return ops.ExportAudit(ctx, o, c.Format, w)
	}
	client, err := c.client(p)
	if err != nil {
		return err
	}
	body, err := client.Stream(ctx, ops.Call{Method: "GET", Path: "/audit/export", Query: url.Values{"format": {c.Format}}})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return err
}
