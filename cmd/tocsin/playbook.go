package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/internal/ops"
)

type playbookCmd struct {
	Test playbookTestCmd `cmd:"" help:"Run the test cases that stand beside playbooks."`
}

// Help gives an example.
func (playbookCmd) Help() string {
	return `Example:
  tocsin playbook test playbooks/`
}

type playbookTestCmd struct {
	Paths  []string `arg:"" optional:"" name:"path" help:"Playbooks, and folders of them."`
	Config string   `placeholder:"FILE" help:"Configuration whose connectors' actions the playbooks may use. Its own playbooks are tested if no path is given."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (playbookTestCmd) Help() string {
	return `The cases of page.yaml stand in page.test.yaml. Nothing is sent.

Examples:
  tocsin playbook test playbooks/
  tocsin playbook test --config tocsin.yaml`
}

// Run runs the cases.
func (c *playbookTestCmd) Run(p *program) error {
	report, err := ops.TestPlaybooks(c.Config, p.environ, c.Paths)
	var usage *ops.UsageError
	if errors.As(err, &usage) {
		return err
	}
	if c.JSON {
		if printErr := p.json(playbookResult(report.Playbooks, report.Cases, report.Untested, report.Failed(), err)); printErr != nil {
			return printErr
		}
	} else if len(report.Cases) > 0 || err == nil {
		fmt.Fprintln(p.stdout, strings.TrimSpace(report.String()))
	}
	switch {
	case err != nil:
		fmt.Fprintf(p.stderr, "tocsin: what cannot be read was not tested; mend it and test again:\n%v\n", err)
	case report.Failed() > 0:
		fmt.Fprintf(p.stderr, "tocsin: %d of %d cases failed; mend the playbook or the case\n", report.Failed(), len(report.Cases))
	default:
		return nil
	}
	return exit(exitFailure)
}

// playbookResult is the JSON form of a test.
func playbookResult[C any](playbooks int, cases []C, untested []string, failed int, err error) any {
	var r struct {
		Playbooks int      `json:"playbooks"`
		Cases     []C      `json:"cases"`
		Untested  []string `json:"untested"`
		Failed    int      `json:"failed"`
		Problems  any      `json:"problems"`
	}
	r.Playbooks, r.Cases, r.Untested, r.Failed, r.Problems = playbooks, cases, untested, failed, []string{}
	if err != nil {
		r.Problems = problemsOf(err)
	}
	return r
}

// problemsOf gives an error's own list if it is one, else its text.
func problemsOf(err error) any {
	if list, ok := err.(interface{ Err() error }); ok {
		return list
	}
	return []string{err.Error()}
}
