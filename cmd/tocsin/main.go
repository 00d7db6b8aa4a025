// Tocsin is the hub and everything to operate it by: one program, a command a
// job, a file a command here. It only reads flags and prints; the work is in
// internal/app (serve), internal/demo (demo) and internal/ops (all others).
//
// Every command exits with 0 on success, 1 on failure and 2 on bad usage, and
// says in one sentence on standard error what to do next. Where it prints data,
// --json prints it for programs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/tocsin/tocsin/internal/ops"
)

// Exit codes of every command but audit verify, which has its own.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

const description = `The hub between the tools that raise security findings and those who act on them.

Examples:
  tocsin demo
  tocsin serve --config tocsin.yaml
  tocsin send findings.ndjson`

// A cli is the command line.
type cli struct {
	Serve      serveCmd      `cmd:"" help:"Run the hub."`
	Demo       demoCmd       `cmd:"" help:"Run the hub with simulated source systems and receivers."`
	Check      checkCmd      `cmd:"" help:"Check a configuration with everything it refers to."`
	Send       sendCmd       `cmd:"" help:"Submit findings from files or standard input."`
	Playbook   playbookCmd   `cmd:"" help:"Work with playbooks."`
	Audit      auditCmd      `cmd:"" help:"Verify and export the audit log."`
	Alerts     alertsCmd     `cmd:"" help:"List and change alerts of a running hub."`
	Approvals  approvalsCmd  `cmd:"" help:"List and answer what playbooks of a running hub ask people."`
	Deliveries deliveriesCmd `cmd:"" help:"List and retry deliveries of a running hub."`
	Connectors connectorsCmd `cmd:"" help:"List and steer the sources of a running hub."`
	Webhooks   webhooksCmd   `cmd:"" help:"Manage the webhook endpoints of a running hub."`
	Channels   channelsCmd   `cmd:"" help:"Manage the channels of a running hub: Slack, PagerDuty, email, Elasticsearch."`
	Keys       keysCmd       `cmd:"" help:"Manage the API keys of a running hub."`
	Elastic    elasticCmd    `cmd:"" help:"Prepare an Elasticsearch for what the hub writes."`
	Backup     backupCmd     `cmd:"" help:"Back an embedded hub up, while it runs."`
	Restore    restoreCmd    `cmd:"" help:"Put a backup in place."`
	Migrate    migrateCmd    `cmd:"" help:"Bring the database's schema up to date, or carry a hub over to another database."`
	OpenAPI    openapiCmd    `cmd:"" name:"openapi" help:"Print the OpenAPI document of the API."`
	Health     healthCmd     `cmd:"" help:"Tell whether a hub is alive and ready."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
	Complete   completeCmd   `cmd:"" name:"__complete" hidden:"" help:"Print what may follow some words; the completion scripts call it."`
}

// A program is what commands use of the world.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	terminal       bool // standard error is one
}

func main() { os.Exit(tocsin()) }

func tocsin() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), terminal: isTerminal(os.Stderr)}
	return p.run(ctx, os.Args[1:])
}

// run gives the exit code.
func (p *program) run(ctx context.Context, args []string) (code int) {
	defer func() { // kong ends the program after --help; here that is an early return
		switch r := recover().(type) {
		case nil:
		case leave:
			code = int(r)
		default:
			panic(r)
		}
	}()
	parser, err := newParser(p)
	if err != nil {
		return p.fail(err)
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return p.misused(err)
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	return p.fail(kctx.Run(p))
}

// leave is what kong's end of the program is here.
type leave int

func newParser(p *program) (*kong.Kong, error) {
	return kong.New(new(cli),
		kong.Name("tocsin"), kong.Description(description), kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { panic(leave(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}))
}

// misused tells of a command line that cannot be, with its usage.
func (p *program) misused(err error) int {
	fmt.Fprintf(p.stderr, "tocsin: %v\n", err)
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		parse.Context.Stdout = p.stderr
		fmt.Fprintln(p.stderr)
		_ = parse.Context.PrintUsage(true) // the error itself is told already
	}
	return exitUsage
}

// An exit is an end with a code of its own. What there is to say was said.
type exit int

// Error is not shown to anybody.
func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// fail tells of an error, if it is one, and gives the exit code.
func (p *program) fail(err error) int {
	var code exit
	var usage *ops.UsageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		fmt.Fprintf(p.stderr, "tocsin: %v\n", err)
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(p.stderr, "tocsin: interrupted; repeat the command to go on")
		return exitFailure
	}
	fmt.Fprintf(p.stderr, "tocsin: %v\n", err)
	return exitFailure
}
