// Package audit_test holds the hub's audit verifier against one in another
// language, which was written from audit/FORMAT.md and shares no code with it.
package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
)

// A file is an export, taken apart so that it can be tampered with.
type file struct {
	header []byte
	rows   []entryRow
	raw    []byte // instead of header and rows
}

type entryRow struct {
	hash  string
	entry []byte
}

func (f *file) bytes() []byte {
	if f.raw != nil {
		return f.raw
	}
	b := bytes.Clone(f.header)
	for _, r := range f.rows {
		b = append(b, `{"integrity_hash":"`+r.hash+`",`...)
		b = append(append(b, r.entry[1:]...), '\n')
	}
	return b
}

var prevHash = regexp.MustCompile(`"prev_hash":"[0-9a-f]{64}"`)

// rehash gives row k the hash of its bytes; with all, the later ones are chained
// and numbered anew.
func (f *file) rehash(k int, all bool) {
	for i := k; i < len(f.rows) && (i == k || all); i++ {
		r := &f.rows[i]
		if i > k {
			r.entry = prevHash.ReplaceAllLiteral(r.entry, []byte(`"prev_hash":"`+f.rows[i-1].hash+`"`))
			r.entry = sequence.ReplaceAllLiteral(r.entry, []byte(fmt.Sprintf(`"sequence":%d,"tenant_id"`, i)))
		}
		sum := audit.Hash(r.entry)
		r.hash = hex.EncodeToString(sum[:])
	}
}

var sequence = regexp.MustCompile(`"sequence":[0-9]+,"tenant_id"`)

func (f *file) edit(k int) {
	f.rows[k].entry = bytes.Replace(f.rows[k].entry, []byte(`"user_id":"usr_`), []byte(`"user_id":"bad_`), 1)
}

// A sealed log with what the test needs of it.
type sealed struct {
	key   *audit.Key
	rows  []entryRow
	notes map[int][]byte
	log   string
}

func seal(t *testing.T, seed byte, n int, entry func(i int) hub.AuditEntry) *sealed {
	key := audit.NewKey(ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)))
	now := time.Date(2026, 1, 2, 3, 4, 5, 999_000_000, time.UTC)
	s := audit.NewSealer(key, "conformance", func() time.Time { now = now.Add(7 * time.Millisecond); return now })
	l := &sealed{key: key, notes: map[int][]byte{}, log: s.Log("default")}
	head := hub.AuditHead{Tenant: "default"}
	for i := range n {
		rows, next, err := s.Seal(head, []hub.AuditEntry{entry(i)})
		if err != nil {
			t.Fatal(err)
		}
		head = next
		l.rows = append(l.rows, entryRow{hex.EncodeToString(rows[0].Hash[:]), rows[0].Bytes})
		l.notes[i+1] = next.Note
	}
	return l
}

// file gives the log's export as the product writes it.
func (l *sealed) file(t *testing.T, note []byte) *file {
	var out bytes.Buffer
	w, err := audit.NewWriter(&out, audit.NDJSON, audit.Header{Note: note, Key: l.key.VerifierKey(l.log)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &file{header: out.Bytes(), rows: slices.Clone(l.rows)}
}

func plain(i int) hub.AuditEntry {
	return hub.AuditEntry{
		ID: fmt.Sprintf("aud_%d", i), Tenant: "default", UserID: fmt.Sprintf("usr_%d", i%5), ActorType: hub.ActorUser, Action: "alert.update",
		ResourceType: "alert", ResourceID: fmt.Sprintf("alt_%d", i), Outcome: hub.AuditSuccess,
		Details: new(hub.Details).Int("n", int64(i)).Str("text", "é€😀").Value(),
	}
}

// nasty has text of all kinds of characters, and details as outside systems
// write them.
func nasty(r *rand.Rand) func(int) hub.AuditEntry {
	text := func(limit int) string {
		var b []byte
		for range r.IntN(limit) {
			switch r.IntN(8) {
			case 0:
				b = append(b, byte(r.IntN(0x20)))
			case 1:
				b = append(b, byte(r.IntN(0x100)))
			case 2:
				b = utf8.AppendRune(b, rune(0xD700+r.IntN(0x1000)))
			case 3:
				b = utf8.AppendRune(b, rune(0xE000+r.IntN(0x2000)))
			case 4:
				b = utf8.AppendRune(b, rune(0x10000+r.IntN(0x100000)))
			case 5:
				b = utf8.AppendRune(b, rune(r.IntN(0x3000)))
			default:
				b = append(b, byte(0x20+r.IntN(0x60)))
			}
		}
		return string(b)
	}
	return func(i int) hub.AuditEntry {
		e := plain(i)
		e.UserAgent, e.RequestPath, e.ResourceID, e.ResponseStatus = text(20), text(20), text(20), r.IntN(600)
		var details []byte
		for j := range 1 + r.IntN(6) {
			details = append(details, "{,"[min(j, 1)])
			details, _ = jsontext.AppendQuote(details, text(4))
			details = append(details, ':')
			switch r.IntN(4) {
			case 0:
				details = fmt.Appendf(details, "%v", r.NormFloat64()*1e5)
			case 1:
				details = fmt.Appendf(details, " [%d, {}, null]", r.Int64())
			default:
				details, _ = jsontext.AppendQuote(details, text(10))
			}
		}
		e.Details = append(details, '}')
		return e
	}
}

const logSize = 60

type attack struct {
	name string
	do   func(r *rand.Rand, f *file)
}

func attacks(t *testing.T, l *sealed) []attack {
	other := seal(t, 9, logSize, plain)
	row := func(r *rand.Rand, f *file) int { return r.IntN(len(f.rows)) }
	return []attack{
		{"none", func(*rand.Rand, *file) {}},
		{"edit", func(r *rand.Rand, f *file) { f.edit(row(r, f)) }},
		{"edit, hash", func(r *rand.Rand, f *file) { k := row(r, f); f.edit(k); f.rehash(k, false) }},
		{"edit, rewrite", func(r *rand.Rand, f *file) { k := row(r, f); f.edit(k); f.rehash(k, true) }},
		{"hash", func(r *rand.Rand, f *file) { k := row(r, f); f.rows[k].hash = f.rows[row(r, f)].hash }},
		{"not canonical", func(r *rand.Rand, f *file) {
			k := row(r, f)
			f.rows[k].entry = bytes.Replace(f.rows[k].entry, []byte(`"id":`), []byte([]string{`"id": `, `"id":"x","id":`, `"\u0069d":`}[r.IntN(3)]), 1)
			f.rehash(k, r.IntN(2) == 0)
		}},
		{"wrong values", func(r *rand.Rand, f *file) {
			k := row(r, f)
			old, bad := `"response_status":0`, []string{"1.0", "-0", "01", "9007199254740992", "1e2", `"0"`, "null", "true", "0.5", "-1"}
			f.rows[k].entry = bytes.Replace(f.rows[k].entry, []byte(old), []byte(`"response_status":`+bad[r.IntN(len(bad))]), 1)
			f.rehash(k, false)
		}},
		{"wrong time", func(r *rand.Rand, f *file) {
			k := row(r, f)
			bad := []string{"2026-01-02T03:04:04", "2026-02-30T03:04:06", "2026-01-02T03:04:60", "2027-01-02T03:04:06"}
			f.rows[k].entry = regexp.MustCompile(`2026-01-02T03:04:0.`).ReplaceAllLiteral(f.rows[k].entry, []byte(bad[r.IntN(len(bad))]))
			f.rehash(k, true)
		}},
		{"wrong link", func(r *rand.Rand, f *file) {
			k := row(r, f)
			f.rows[k].entry = prevHash.ReplaceAllLiteral(f.rows[k].entry, []byte(`"prev_hash":"`+strings.Repeat("ab", 32)+`"`))
			f.rehash(k, r.IntN(2) == 0)
		}},
		{"delete", func(r *rand.Rand, f *file) {
			k := row(r, f)
			f.rows = slices.Delete(f.rows, k, min(k+1+r.IntN(4), len(f.rows)))
		}},
		{"delete, rewrite", func(r *rand.Rand, f *file) {
			k := 1 + r.IntN(len(f.rows)-2)
			f.rows = slices.Delete(f.rows, k, k+1)
			f.rehash(k-1, true)
		}},
		{"truncate", func(r *rand.Rand, f *file) { f.rows = f.rows[:row(r, f)] }},
		{"swap", func(r *rand.Rand, f *file) {
			a, b := row(r, f), row(r, f)
			f.rows[a], f.rows[b] = f.rows[b], f.rows[a]
		}},
		{"move", func(r *rand.Rand, f *file) {
			a := row(r, f)
			moved := f.rows[a]
			f.rows = slices.Delete(f.rows, a, a+1)
			f.rows = slices.Insert(f.rows, row(r, f), moved)
		}},
		{"shuffle", func(r *rand.Rand, f *file) {
			r.Shuffle(len(f.rows), func(a, b int) { f.rows[a], f.rows[b] = f.rows[b], f.rows[a] })
		}},
		{"repeat", func(r *rand.Rand, f *file) { f.rows = slices.Insert(f.rows, row(r, f), f.rows[row(r, f)]) }},
		{"insert", func(r *rand.Rand, f *file) {
			k := row(r, f)
			f.rows = slices.Insert(f.rows, k, f.rows[k])
			f.edit(k)
			f.rehash(k, r.IntN(2) == 0)
		}},
		{"append", func(_ *rand.Rand, f *file) {
			k := len(f.rows) - 1
			f.rows = append(f.rows, f.rows[k])
			last := f.rows[k]
			f.rehash(k, true)
			f.rows[k] = last
		}},
		{"foreign row", func(r *rand.Rand, f *file) { k := row(r, f); f.rows[k] = other.rows[k] }},
		{"foreign log", func(r *rand.Rand, f *file) {
			for i := range f.rows {
				f.rows[i].entry = bytes.Replace(f.rows[i].entry, []byte("/default/1"), []byte("/default/2"), 1)
			}
			f.rehash(0, true)
		}},
		{"other key", func(_ *rand.Rand, f *file) { *f = *other.file(t, other.notes[logSize]) }},
		{"other header", func(_ *rand.Rand, f *file) { f.header = other.file(t, other.notes[logSize]).header }},
		{"no header", func(_ *rand.Rand, f *file) { f.header = nil }},
		{"older header", func(r *rand.Rand, f *file) { f.header = l.file(t, l.notes[1+r.IntN(logSize)]).header }},
		{"header only", func(_ *rand.Rand, f *file) { f.rows = nil }},
		{"two faults", func(r *rand.Rand, f *file) {
			f.edit(row(r, f))
			f.rows = slices.Delete(f.rows, 7, 9)
			f.edit(row(r, f))
		}},
		{"one bit", flipBits(1)},
		{"two bits", flipBits(2)},
		{"a bit of the header", func(r *rand.Rand, f *file) {
			f.header = bytes.Clone(f.header)
			f.header[r.IntN(len(f.header))] ^= 1 << r.IntN(8)
		}},
		{"cut", func(r *rand.Rand, f *file) { b := f.bytes(); f.raw = b[:r.IntN(len(b))] }},
		{"cut in front", func(r *rand.Rand, f *file) { b := f.bytes(); f.raw = b[r.IntN(len(b)):] }},
		{"noise", func(r *rand.Rand, f *file) {
			b, at := f.bytes(), 0
			at = r.IntN(len(b))
			f.raw = slices.Concat(b[:at], [][]byte{{'\n'}, {0}, []byte("\n{}\n"), []byte("x"), {0xFF}}[r.IntN(5)], b[at:])
		}},
	}
}

func flipBits(n int) func(r *rand.Rand, f *file) {
	return func(r *rand.Rand, f *file) {
		b := f.bytes()
		for range n {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		f.raw = b
	}
}

// python gives the interpreter, or ends the test where there is none: as a
// failure on the build machine, so that it cannot be left out there unseen.
func python(t *testing.T) string {
	path, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("python3 is missing; install it, because CI must compare both verifiers")
	}
	if err != nil {
		t.Skip("python3 is missing, so there is nothing to compare with")
	}
	return path
}

// A report is what both verifiers say.
type report struct {
	Verdict string `json:"verdict"`
	Entries int64  `json:"entries"`
	Covered int64  `json:"covered"`
	Fault   *struct {
		Kind     string `json:"kind"`
		Sequence int64  `json:"sequence"`
		Count    int64  `json:"count"`
	} `json:"fault"`
}

func (r report) String() string {
	if r.Fault == nil {
		return fmt.Sprintf("%s, %d entries, %d covered", r.Verdict, r.Entries, r.Covered)
	}
	return fmt.Sprintf("%s, %d entries, %d covered, %+v", r.Verdict, r.Entries, r.Covered, *r.Fault)
}

// theirs runs the Python verifier over files.
func theirs(t *testing.T, exe string, args, files []string) (reports []report, exit int) {
	cmd := exec.CommandContext(t.Context(), exe, slices.Concat([]string{"-B", "verify.py", "--json"}, args, files)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	var code *exec.ExitError
	if err != nil && !errors.As(err, &code) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		var r report
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		reports = append(reports, r)
	}
	if len(reports) != len(files) {
		t.Fatalf("%d reports of %d files: %s", len(reports), len(files), complaint.Bytes())
	}
	return reports, cmd.ProcessState.ExitCode()
}

func ours(t *testing.T, data []byte, opts audit.Options) report {
	rep := audit.VerifyFile(context.Background(), bytes.NewReader(data), opts)
	text, err := json.Marshal(&rep)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Both verifiers say the same of logs that were tampered with in every way: the
// verdict, the entry and the kind of fault.
func TestVerifiersAgree(t *testing.T) {
	exe := python(t)
	trials := 6
	if testing.Short() {
		trials = 2
	}
	l := seal(t, 1, logSize, plain)
	r := rand.New(rand.NewPCG(61, 62))
	dir := t.TempDir()
	var names, files []string
	var data [][]byte
	for _, a := range attacks(t, l) {
		for trial := range trials {
			f := l.file(t, l.notes[logSize])
			a.do(r, f)
			path := filepath.Join(dir, fmt.Sprintf("%d.ndjson", len(files)))
			if err := os.WriteFile(path, f.bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			names, files, data = append(names, fmt.Sprintf("%s %d", a.name, trial)), append(files, path), append(data, f.bytes())
		}
	}
	longer := seal(t, 1, logSize+5, plain)
	for _, c := range []struct {
		name string
		key  bool
		note []byte
	}{
		{"alone", false, nil},
		{"key", true, nil},
		{"checkpoint in the middle", false, l.notes[25]},
		{"key and newer checkpoint", true, longer.notes[logSize+5]},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var args []string
			var opts audit.Options
			if c.key {
				args, opts.Keys = append(args, "--key", l.key.VerifierKey(l.log)), []ed25519.PublicKey{l.key.Public()}
			}
			if c.note != nil {
				path := filepath.Join(t.TempDir(), "checkpoint")
				if err := os.WriteFile(path, c.note, 0o600); err != nil {
					t.Fatal(err)
				}
				args, opts.Checkpoints = append(args, "--checkpoint", path), [][]byte{c.note}
			}
			reports, _ := theirs(t, exe, args, files)
			compare(t, names, data, opts, reports)
		})
	}
}

func compare(t *testing.T, names []string, data [][]byte, opts audit.Options, reports []report) {
	verdicts := map[string]int{}
	for i := range names {
		mine := ours(t, data[i], opts)
		verdicts[mine.Verdict]++
		if mine.String() != reports[i].String() {
			kept := filepath.Join(os.TempDir(), "disagree.ndjson")
			_ = os.WriteFile(kept, data[i], 0o600)
			t.Fatalf("%s (kept as %s):\nGo     %s\nPython %s", names[i], kept, mine, reports[i])
		}
	}
	if verdicts["tampered"] < len(names)/2 {
		t.Errorf("the attacks were no attacks: %v", verdicts)
	}
}

// Python's canonical form of entries with every kind of text is ours, byte for
// byte, and its exit codes are those of the contract.
func TestCanonicalFormAgrees(t *testing.T) {
	exe := python(t)
	l := seal(t, 1, 3000, nasty(rand.New(rand.NewPCG(63, 64))))
	path := filepath.Join(t.TempDir(), "log.ndjson")
	whole := l.file(t, l.notes[3000])
	for _, c := range []struct {
		verdict string
		exit    int
		data    []byte
	}{
		{"intact", 0, whole.bytes()},
		{"tampered", 1, bytes.Replace(whole.bytes(), []byte("usr_3"), []byte("usr_4"), 1)},
		{"unreadable", 2, []byte("no export\n")},
		{"uncovered", 3, l.file(t, l.notes[2999]).bytes()},
	} {
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		reports, exit := theirs(t, exe, []string{"--key", l.key.VerifierKey(l.log)}, []string{path})
		mine := audit.VerifyFile(t.Context(), bytes.NewReader(c.data), audit.Options{Keys: []ed25519.PublicKey{l.key.Public()}})
		if reports[0].Verdict != c.verdict || exit != c.exit || string(mine.Verdict) != c.verdict || mine.ExitCode() != c.exit {
			t.Errorf("%s: Python %s with exit code %d, Go %s", c.verdict, reports[0], exit, &mine)
		}
	}
}

// The ten lines of Python in FORMAT.md do what is said there.
func TestTenLinesOfPython(t *testing.T) {
	exe := python(t)
	doc, err := os.ReadFile("../../../audit/FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string) []byte {
		m := regexp.MustCompile("(?s)```" + kind + "\n(.*?)```").FindSubmatch(doc)
		if m == nil {
			t.Fatalf("FORMAT.md has no %s block", kind)
		}
		return m[1]
	}
	path := filepath.Join(t.TempDir(), "log.ndjson")
	for text, want := range map[string]bool{string(block("ndjson")): true, strings.Replace(string(block("ndjson")), "timeout", "Timeout", 1): false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), exe, "-B", "-c", string(block("python")), path).CombinedOutput()
		if (err == nil) != want {
			t.Errorf("passed %v, want %v: %s", err == nil, want, out)
		}
	}
}
