package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/internal/ops"
)

type migrateCmd struct {
	homeFlags
	Status bool   `xor:"what" help:"Only tell how far the schema has come. Exits with 1 if something is pending."`
	From   string `xor:"what" placeholder:"URL" help:"Carry a whole hub over from this database: sqlite:PATH or postgres://…, as store.url of the configuration."`
	To     string `placeholder:"URL" env:"TOCSIN_MIGRATE_TO" help:"Empty database that the hub is carried over to."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (migrateCmd) Help() string {
	return `Without --from it brings the schema of the hub's database up to date, as the hub's start does.

With --from and --to it carries a whole hub over to an empty database: every row, which is read back and compared, the audit logs, which are verified there, and what waits to be handled. No hub may run over the source, which is only read. The target has everything or, after an error, nothing; then repeat the command. The hubs over the target need the audit key of the source.

Examples:
  tocsin migrate --status
  tocsin migrate --config /etc/tocsin/tocsin.yaml
  tocsin migrate --from sqlite:/var/lib/tocsin/tocsin.db --to postgres://tocsin@db.example.com/tocsin`
}

// Run migrates a schema, or moves a hub.
func (c *migrateCmd) Run(ctx context.Context, p *program) error {
	if (c.From == "") != (c.To == "") {
		return &ops.UsageError{Msg: "--from and --to belong together: the database that there is, and the one that the hub is carried over to"}
	}
	data := c.Data
	if path, ok := strings.CutPrefix(c.From, "sqlite:"); ok && data == "" && c.Config == "" {
		data = filepath.Dir(strings.TrimPrefix(path, "//")) // where the key lies, unless something else is said
	}
	home, cfg, err := ops.HomeOf(c.Config, data, p.environ)
	if err != nil {
		return err
	}
	switch {
	case c.From != "":
		return c.move(ctx, p, ops.MoveOptions{From: c.From, To: c.To, Home: home, Config: cfg})
	case c.Status:
		return c.status(ctx, p, home.Database)
	}
	before, after, err := ops.MigrateSchema(ctx, home.Database)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.json(map[string]any{"before": before, "after": after})
	}
	for _, name := range before.Pending {
		fmt.Fprintf(p.stdout, "applied %s\n", name)
	}
	_, err = fmt.Fprintf(p.stdout, "the schema is version %d, up to date\n", after.Version)
	return err
}

func (c *migrateCmd) status(ctx context.Context, p *program, database string) error {
	s, err := ops.SchemaOf(ctx, database)
	if err != nil {
		return err
	}
	pending := len(s.Pending) > 0
	switch {
	case c.JSON:
		err = p.json(s)
	case s.Version > s.Knows:
		return fmt.Errorf("the schema is version %d and this program knows up to %d: a newer tocsin has used it", s.Version, s.Knows)
	case !pending:
		_, err = fmt.Fprintf(p.stdout, "the schema is version %d, up to date\n", s.Version)
	default:
		_, err = fmt.Fprintf(p.stdout, "the schema is version %d, this program's is %d; pending: %s\n", s.Version, s.Knows, strings.Join(s.Pending, ", "))
	}
	if err == nil && (pending || s.Version > s.Knows) {
		return exit(exitFailure)
	}
	return err
}

func (c *migrateCmd) move(ctx context.Context, p *program, o ops.MoveOptions) error {
	s := newSteps(p, c.JSON)
	o.Progress = s.update
	report, err := ops.Move(ctx, o)
	s.close()
	if err != nil {
		return err
	}
	if c.JSON {
		return p.json(report)
	}
	t := newTable(p.stdout, "TABLE", "ROWS")
	for _, x := range report.Tables {
		if x.Rows > 0 {
			t.row(x.Table, fmt.Sprint(x.Rows))
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%d rows carried over and read back\n", report.Rows)
	for _, topic := range slices.Sorted(maps.Keys(report.Messages)) {
		fmt.Fprintf(p.stdout, "%d messages of %s wait to be handled\n", report.Messages[topic], topic)
	}
	printLogs(p, report.Logs)
	_, err = fmt.Fprintf(p.stdout, "Give the hubs over the new database a copy of %s. Do not start a hub over the old one again.\n", o.Home.Key)
	return err
}
