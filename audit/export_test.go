package audit

import (
	"bytes"
	"context"
	"encoding/csv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

func export(t testing.TB, l *memLog, format Format, key *Key) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, format, Header{Note: l.head.Note, Key: key.VerifierKey(l.head.Log)})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l.rows {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestExportsVerify(t *testing.T) {
	key := testKey(1)
	for _, size := range []int{1, 2, 300} {
		l := makeLog(t, testSealer(key), rand.New(rand.NewPCG(41, 42)), size)
		for _, format := range []Format{NDJSON, JSON, CSV} {
			file := export(t, l, format, key)
			for _, c := range []struct {
				name string
				opts Options
				want Verdict
			}{
				{"as it is", Options{}, map[Format]Verdict{NDJSON: Intact, JSON: Uncovered, CSV: Uncovered}[format]},
				{"with key and checkpoint", Options{Keys: keysOf(key), Checkpoints: [][]byte{l.head.Note}}, Intact},
				{"with a checkpoint only", Options{Checkpoints: [][]byte{l.head.Note}}, Intact},
			} {
				rep := VerifyFile(t.Context(), bytes.NewReader(file), c.opts)
				if rep.Verdict != c.want || rep.Entries != int64(size) {
					t.Errorf("%s of %d, %s: got %s, want %s", format, size, c.name, &rep, c.want)
				}
			}
		}
	}
}

func TestVerifyFileWithAnotherKey(t *testing.T) {
	key, other := testKey(1), testKey(2)
	l := makeLog(t, testSealer(key), rand.New(rand.NewPCG(43, 44)), 50)
	file := export(t, l, NDJSON, key)
	rep := VerifyFile(t.Context(), bytes.NewReader(file), Options{Keys: keysOf(other)})
	if rep.Verdict != Tampered || rep.Fault.Kind != BadSignature {
		t.Errorf("another key: %s", &rep)
	}
	// A header whose own key does not fit is refused even if the given key does.
	wrong := bytes.Replace(file, []byte(key.VerifierKey(l.head.Log)), []byte(other.VerifierKey(l.head.Log)), 1)
	rep = VerifyFile(t.Context(), bytes.NewReader(wrong), Options{Keys: keysOf(key)})
	if rep.Verdict != Tampered || rep.Fault.Kind != BadSignature {
		t.Errorf("another key in the header: %s", &rep)
	}
	rep = VerifyFile(t.Context(), bytes.NewReader(file), Options{Keys: keysOf(key), Log: "tocsin/test/other/1"})
	if rep.Verdict != Tampered || rep.Fault.Kind != Foreign || rep.Fault.Sequence != 0 {
		t.Errorf("another log: %s", &rep)
	}
	rep = VerifyFile(t.Context(), bytes.NewReader(file), Options{Keys: keysOf(other), Checkpoints: [][]byte{l.head.Note}})
	if rep.Verdict != Unreadable {
		t.Errorf("a given checkpoint by another key: %s", &rep)
	}
}

func TestUnreadableFiles(t *testing.T) {
	for _, text := range []string{"", "\n", "hello\nworld\n", "{}\n", `[{"a":1}]`, "[\n]\n", "sequence,timestamp\n1,2\n", strings.Repeat("x", 300000)} {
		rep := VerifyFile(t.Context(), strings.NewReader(text), Options{})
		if rep.Verdict != Unreadable || rep.ExitCode() != 2 || rep.Error == "" {
			t.Errorf("%.20q: got %s", text, &rep)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := export(t, makeLog(t, testSealer(testKey(1)), rand.New(rand.NewPCG(1, 1)), 3), NDJSON, testKey(1))
	if rep := VerifyFile(ctx, bytes.NewReader(file), Options{}); rep.Verdict != Unreadable {
		t.Errorf("cancelled: %s", &rep)
	}
}

// No bit of an export can be flipped unseen.
func TestEveryBitOfAnExportCounts(t *testing.T) {
	t.Parallel()
	key, r := testKey(1), rand.New(rand.NewPCG(45, 46))
	l := makeLog(t, testSealer(key), r, 4)
	for _, format := range []Format{NDJSON, JSON, CSV} {
		file := export(t, l, format, key)
		opts := Options{Keys: keysOf(key), Checkpoints: [][]byte{l.head.Note}}
		for i := range file {
			for bit := range 8 {
				// All bits of the header; of the rest two in each byte will do.
				if format != NDJSON && formOnly(format, file, i) || (i > 400 || format != NDJSON) && bit != i%8 && bit != 5 {
					continue
				}
				changed := bytes.Clone(file)
				changed[i] ^= 1 << bit
				if rep := VerifyFile(t.Context(), bytes.NewReader(changed), opts); rep.Verdict != Tampered {
					t.Fatalf("%s: bit %d of byte %d (%q): %s", format, bit, i, file[max(0, i-10):i+1], &rep)
				}
			}
		}
	}
}

// formOnly reports whether the byte belongs to the form around the entries,
// where a change may leave all entries readable as they are.
func formOnly(format Format, file []byte, i int) bool {
	if format == JSON {
		return i < 2 || i >= len(file)-4 || file[i] == '\n' || file[i] == ',' && file[i+1] == '\n'
	}
	return i <= bytes.IndexByte(file, '\n') || file[i] == '\n'
}

// An export's line is the object of contract §9.
func TestExportedLineIsAnEntry(t *testing.T) {
	l := makeLog(t, testSealer(testKey(1)), rand.New(rand.NewPCG(47, 48)), 3)
	line := AppendEntry(nil, l.rows[2])
	var got hub.AuditEntry
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	want, err := Open(l.rows[2])
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != want.ID || got.IntegrityHash != hexHash(l.rows[2].Hash) || got.PrevHash != hexHash(l.rows[1].Hash) ||
		!got.Timestamp.Equal(want.Timestamp) || got.Sequence != 2 || !bytes.Equal(got.Details, want.Details) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	var array []hub.AuditEntry
	if err := json.Unmarshal(export(t, l, JSON, testKey(1)), &array); err != nil || len(array) != 3 {
		t.Errorf("JSON export holds %d entries: %v", len(array), err)
	}
	if err := json.Unmarshal(export(t, &memLog{}, JSON, testKey(1)), &array); err != nil || len(array) != 0 {
		t.Errorf("empty JSON export holds %d entries: %v", len(array), err)
	}
}

func TestCSVStartsNoFormula(t *testing.T) {
	s := testSealer(testKey(1))
	l := &memLog{head: hub.AuditHead{Tenant: "default"}}
	var batch []hub.AuditEntry
	for _, text := range []string{"=1+1", "+1", "-1", "@x", "\t=1", "\r\n=1", "a\r\nb", "x,\"y\"", " =1", "'x"} {
		e := plausible(rand.New(rand.NewPCG(1, 1)), 1)
		e.UserAgent, e.RequestPath, e.ResponseStatus = text, text, -1
		batch = append(batch, e)
	}
	l.seal(t, s, batch)
	file := export(t, l, CSV, testKey(1))
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil || len(rows) != 1+len(batch) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if !slices.Equal(rows[0], csvColumns) {
		t.Errorf("got columns %v", rows[0])
	}
	for _, row := range rows {
		for i, cell := range row {
			if strings.ContainsAny(cell, "\r\n\t") || strings.IndexAny(strings.TrimLeft(cell, " "), "=+-@") == 0 {
				t.Errorf("%s: %q", csvColumns[i], cell)
			}
		}
	}
	if rep := VerifyFile(t.Context(), bytes.NewReader(file), Options{Checkpoints: [][]byte{l.head.Note}}); rep.Verdict != Intact {
		t.Error(&rep)
	}
	if _, err := NewWriter(nil, "xml", Header{}); hub.KindOf(err) != hub.Malformed {
		t.Errorf("xml: %v", err)
	}
}

// Whatever a file holds, verification ends without a panic, and nothing that was
// made up is intact under the key.
func FuzzVerifyFile(f *testing.F) {
	key := testKey(1)
	l := makeLog(f, testSealer(key), rand.New(rand.NewPCG(49, 50)), 5)
	sound := export(f, l, NDJSON, key)
	for _, format := range []Format{NDJSON, JSON, CSV} {
		f.Add(export(f, l, format, key))
	}
	f.Add([]byte("{\"checkpoint\":\"a\\n0\\n\",\"key\":\"\"}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rep := VerifyFile(t.Context(), bytes.NewReader(b), Options{Keys: keysOf(key)})
		if rep.Verdict == Intact && !bytes.Equal(bytes.TrimSuffix(b, []byte("\n")), bytes.TrimSuffix(sound, []byte("\n"))) {
			t.Errorf("%q is %s", b, &rep)
		}
	})
}
