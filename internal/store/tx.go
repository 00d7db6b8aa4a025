package store

import (
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
	"github.com/tocsin/tocsin/internal/store/driver"
)

// A Reader asks the database. It sees one committed state or, inside a
// transaction, that state with the transaction's own changes.
type Reader struct {
	q     driver.Querier
	vault *secret.Vault
}

// A Tx is a caller's part of a write transaction. It is valid only inside the
// function given to [Store.Do].
type Tx struct {
	Reader
	s   *Store
	dtx driver.Tx

	pending []pending        // rows collected by table
	audit   []hub.AuditEntry // to be sealed before the commit
	after   []func()         // of the current caller
	unsure  []func()         // of the current caller
	moved   map[string]bool  // counters that changed
	counts  []countDelta     // changes to alert_counts

	milli  int64 // of the identifiers that it gives; 0 before the first
	execs  int   // statements that wrote
	dirty  bool  // a caller panicked: assume that it wrote
	failed error // an error that concerns the whole transaction
	spoilt error // a statement failed, so that no other may run
}

// A table takes rows that are only ever added. Its name must not be part of
// another table's name.
type table struct {
	name    string
	columns []string
}

type pending struct {
	table *table
	args  []any // row after row
}

// Row counts of the multi-row inserts; each size is a prepared statement.
var insertSizes = [...]int{32, 8, 1}

func newTx(s *Store, dtx driver.Tx) *Tx {
	tx := &Tx{s: s, dtx: dtx, moved: map[string]bool{}}
	tx.Reader = Reader{q: tx, vault: s.vault}
	return tx
}

// Query runs a query inside the transaction. Collected rows of the tables it
// names are inserted first.
func (tx *Tx) Query(query string, args []any, row func([]any) error) error {
	if err := tx.flushNamed(query); err != nil {
		return err
	}
	var own error
	err := tx.dtx.Query(query, args, func(v []any) error {
		own = row(v)
		return own
	})
	if own != nil {
		return own // nothing is wrong with the query
	}
	return tx.check(err)
}

// Exec runs a statement and tells how many rows it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	if err := tx.flushNamed(query); err != nil {
		return 0, err
	}
	tx.execs++
	n, err := tx.dtx.Exec(query, args)
	return n, tx.check(err)
}

// send runs a statement now or later: it saves the way to the database. Its error
// is this caller's all the same.
func (tx *Tx) send(query string, args ...any) error {
	if err := tx.flushNamed(query); err != nil {
		return err
	}
	tx.execs++
	return tx.check(tx.dtx.Send(query, args))
}

// sendOne is send for a statement that must change one row.
func (tx *Tx) sendOne(missing func() error, query string, args ...any) error {
	if err := tx.flushNamed(query); err != nil {
		return err
	}
	tx.execs++
	return tx.check(tx.dtx.SendOne(query, args, missing))
}

// check keeps an error that concerns the whole transaction, or that spoils it,
// so that it counts even if the caller's function ignores it.
func (tx *Tx) check(err error) error {
	switch {
	case err == nil:
	case driver.Broken(err) || driver.KindOf(err) == driver.Busy:
		tx.failed = err
	case tx.spoilt == nil:
		tx.spoilt = err
	}
	return err
}

// AfterCommit has f run when the transaction is durable, before Do returns, on
// the writer's goroutine: f must be quick and must not wait.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// AfterFailure has f run in the same way when Do returns an error. Then nothing of
// the caller's is stored as a rule; but where the answer to the commit was lost all
// of it may be.
func (tx *Tx) AfterFailure(f func()) { tx.unsure = append(tx.unsure, f) }

// giveHooks hands the hooks of the current caller to its request.
func (tx *Tx) giveHooks(r *request) {
	r.after, r.unsure = tx.after, tx.unsure
	tx.after, tx.unsure = nil, nil
}

// Audit adds an entry to the audit log of the transaction.
func (tx *Tx) Audit(e hub.AuditEntry) { tx.audit = append(tx.audit, e) }

// appendRow collects a row of t. Its values are in the order of t.columns.
func (tx *Tx) appendRow(t *table, values ...any) {
	if len(values) != len(t.columns) {
		panic(fmt.Sprintf("store: %d values for the %d columns of %s", len(values), len(t.columns), t.name))
	}
	for i := range tx.pending {
		if tx.pending[i].table == t {
			tx.pending[i].args = append(tx.pending[i].args, values...)
			return
		}
	}
	tx.pending = append(tx.pending, pending{t, append(make([]any, 0, 32*len(values)), values...)})
}

func (tx *Tx) flushNamed(query string) error {
	for i := range tx.pending {
		if p := &tx.pending[i]; len(p.args) > 0 && strings.Contains(query, p.table.name) {
			if err := tx.insert(p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (tx *Tx) flush() error {
	for i := range tx.pending {
		if err := tx.insert(&tx.pending[i]); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) insert(p *pending) error {
	width := len(p.table.columns)
	args := p.args
	for _, size := range insertSizes {
		for len(args) >= size*width {
			tx.execs++
			if err := tx.dtx.Send(tx.s.insertText(p.table, size), args[:size*width]); err != nil {
				return tx.check(fmt.Errorf("insert into %s: %w", p.table.name, err))
			}
			args = args[size*width:]
		}
	}
	clear(p.args)
	p.args = p.args[:0]
	return nil
}

type insertKey struct {
	table *table
	rows  int
}

// insertText gives the statement that inserts n rows into t, made once.
func (s *Store) insertText(t *table, n int) string {
	key := insertKey{t, n}
	text := s.inserts[key]
	if text == "" {
		text = t.insertText(n)
		s.inserts[key] = text
	}
	return text
}

func (t *table) insertText(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", t.name, strings.Join(t.columns, ", "))
	for i := range n * len(t.columns) {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%len(t.columns) == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	b.WriteString(")")
	return b.String()
}

// prepare writes what was collected, for the commit.
func (tx *Tx) prepare() error {
	if err := tx.seal(); err != nil {
		return fmt.Errorf("seal audit entries: %w", err)
	}
	if err := tx.saveCounts(); err != nil {
		return fmt.Errorf("save alert counts: %w", err)
	}
	if err := tx.flush(); err != nil {
		return err
	}
	return tx.saveCounters()
}

// complete checks what a caller has left to be written since m: it inserts its
// rows, seals its audit entries on trial and releases its savepoint.
func (tx *Tx) complete(m mark) error {
	if err := tx.flush(); err != nil {
		return err
	}
	if err := tx.trySeal(tx.audit[m.audit:]); err != nil {
		return err
	}
	if tx.spoilt != nil {
		return tx.spoilt // the caller's function made nothing of it
	}
	return tx.check(tx.dtx.Release())
}

// A mark is a point of the transaction between two callers.
type mark struct {
	execs, audit, counts int
	args                 []int
}

func (tx *Tx) mark() mark {
	m := mark{execs: tx.execs, audit: len(tx.audit), counts: len(tx.counts)}
	for i := range tx.pending {
		m.args = append(m.args, len(tx.pending[i].args))
	}
	return m
}

func (m mark) argsOf(i int) int {
	if i < len(m.args) {
		return m.args[i]
	}
	return 0
}

func (tx *Tx) wroteSince(m mark) bool {
	if tx.dirty || tx.execs != m.execs || len(tx.audit) != m.audit {
		return true
	}
	for i := range tx.pending {
		if len(tx.pending[i].args) != m.argsOf(i) {
			return true
		}
	}
	return false
}

// backTo forgets what was collected since m.
func (tx *Tx) backTo(m mark) {
	tx.audit = tx.audit[:m.audit]
	tx.counts = tx.counts[:m.counts]
	tx.dirty, tx.spoilt = false, nil
	for i := range tx.pending {
		tx.pending[i].args = tx.pending[i].args[:m.argsOf(i)]
	}
}

// remember makes the memory hold: unless it is as this store left it, it reads
// the counters and, of the audit heads, those it knew. Numbers of logs never
// change once they are committed.
func (s *Store) remember(tx *Tx) error {
	m := &s.memory
	if m.loaded && tx.dtx.Alone() {
		return nil
	}
	if m.loaded {
		s.stats.Reread.Add(1)
	} else {
		*m = memory{counters: map[string]int64{}, heads: map[hub.TenantID]hub.AuditHead{}, logs: map[hub.TenantID]int64{}, notes: map[hub.TenantID]int64{}}
	}
	m.loaded = false
	text, args := m.question()
	clear(m.heads)
	err := tx.Query(text, args, func(v []any) error {
		if v[1] == nil {
			m.counters[v[0].(string)] = v[2].(int64)
			return nil
		}
		head, err := headRow(v)
		m.heads[head.Tenant] = head
		return err
	})
	m.loaded = err == nil
	return err
}

// question asks for all that the memory may have wrong, in one query, because the
// way to the database may be long and others wait.
func (m *memory) question() (text string, args []any) {
	const counters = "SELECT name, NULL AS log, value, NULL AS last, 0 AS time, NULL AS frontier, NULL AS note FROM counters"
	for tenant := range m.heads {
		if args = append(args, string(tenant)); len(args) == inSizes[0] {
			break // the others are read when they are asked for
		}
	}
	if len(args) == 0 {
		return counters, nil
	}
	size := inSize(len(args))
	return counters + " UNION ALL " + expandIn(headQuery+" WHERE tenant IN (?)", 1, size), padded(nil, args, size)
}

// counter moves a counter on by n and returns its new value. Counters never go
// back; a failed caller may leave a gap.
func (tx *Tx) counter(name string, n int64) int64 {
	c := tx.s.memory.counters
	c[name] += n
	tx.moved[name] = true
	return c[name]
}

// Counter moves a named counter on by n and returns its new value, the last of
// the n numbers that are the caller's.
func (tx *Tx) Counter(name string, n int64) int64 { return tx.counter(name, n) }

func (tx *Tx) saveCounters() error {
	for name := range tx.moved {
		err := tx.dtx.Send("INSERT INTO counters (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			[]any{name, tx.s.memory.counters[name]})
		if err != nil {
			return tx.check(fmt.Errorf("save counter %s: %w", name, err))
		}
	}
	return nil
}
