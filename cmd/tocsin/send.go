package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/internal/ops"
)

type sendCmd struct {
	apiFlags
	Files  []string      `arg:"" name:"file" help:"Files to send; - is standard input."`
	Format string        `placeholder:"FORMAT" help:"Format of the files; by their names or beginnings if not given."`
	Source string        `placeholder:"NAME" help:"Source of findings that name none."`
	Resume bool          `help:"Keep FILE.tocsin-send while sending, and go on from one that an earlier call left."`
	GiveUp time.Duration `default:"5m" placeholder:"DURATION" help:"How long to try again while the hub is busy or cannot be reached."`
}

// Help gives an example and the formats.
func (sendCmd) Help() string {
	var b strings.Builder
	b.WriteString(`Findings are sent in batches of up to 1,000, as a stream: files may be of any size. Repeating a call within a day sends nothing twice. Exits with 1 if a finding was rejected.

Formats:
`)
	for _, f := range ops.Formats() {
		fmt.Fprintf(&b, "  %-12s %s\n", f.Name, f.Doc)
	}
	b.WriteString(`
Examples:
  tocsin send findings.json
  tocsin send --format sarif results.sarif
  tocsin send --resume --source scanner huge.ndjson
  scanner --json | tocsin send --format ndjson -`)
	return b.String()
}

// Run sends the files.
func (c *sendCmd) Run(ctx context.Context, p *program) error {
	if err := ops.KnownFormat(c.Format); err != nil {
		return err
	}
	client, err := c.client(p)
	if err != nil {
		return err
	}
	client.Patience = c.GiveUp
	o := ops.SendOptions{Client: client, Files: c.Files, Stdin: p.stdin, Format: c.Format, Source: c.Source, Resume: c.Resume}
	m := newMeter(p, bytesUnit)
	if !c.JSON {
		o.Progress = func(s ops.SendProgress) { showSending(m, s) }
	}
	result, sendErr := ops.Send(ctx, o)
	m.close()
	if err := c.show(p, result); err != nil {
		return err
	}
	var usage *ops.UsageError
	switch {
	case errors.As(sendErr, &usage):
		return sendErr
	case errors.Is(sendErr, context.Canceled):
		return errors.New("interrupted; " + c.again())
	case ops.Passing(sendErr):
		return fmt.Errorf("%w (%s)", sendErr, c.again())
	case sendErr != nil:
		return sendErr
	case result.Rejected > 0:
		fmt.Fprintf(p.stderr, "tocsin: not every finding was taken (rejected: %d); mend those listed and send them again\n", result.Rejected)
		return exit(exitFailure)
	}
	return nil
}

// again says how to go on.
func (c *sendCmd) again() string {
	if c.Resume {
		return "repeat the same command to go on where it stopped"
	}
	if slices.Contains(c.Files, "-") {
		return "send the same input again; what was taken is not taken twice"
	}
	return "repeat the same command; what was taken is not taken twice"
}

func showSending(m *meter, s ops.SendProgress) {
	note := fmt.Sprintf("%d accepted", s.Accepted)
	if s.Rejected > 0 {
		note += fmt.Sprintf("  %d rejected", s.Rejected)
	}
	if s.Waiting != "" {
		note += "  waiting: " + s.Waiting
	}
	m.update(s.Bytes, s.Total, note)
}

// show prints what came of it.
func (c *sendCmd) show(p *program, r ops.SendResult) error {
	if c.JSON {
		return p.json(r)
	}
	if r.Batches == 0 && r.Rejected == 0 && r.Resumed == 0 {
		return nil
	}
	fmt.Fprintf(p.stdout, "%d accepted, %d rejected in %.1fs", r.Accepted, r.Rejected, r.Seconds)
	if r.Resumed > 0 {
		fmt.Fprintf(p.stdout, " (%d of them by an earlier call)", r.Resumed)
	}
	fmt.Fprintln(p.stdout)
	for _, x := range r.Rejects {
		fmt.Fprintf(p.stdout, "%s:%d: finding %d: %s\n", x.File, x.Line, x.Index, plain(x.Error, 300))
	}
	if more := r.Rejected - int64(len(r.Rejects)); more > 0 {
		fmt.Fprintf(p.stdout, "and %d more\n", more)
	}
	return nil
}
