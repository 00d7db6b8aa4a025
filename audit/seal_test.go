package audit

import (
	"bytes"
	"crypto/ed25519"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin/tocsin/hub"
)

func keysOf(k *Key) []ed25519.PublicKey { return []ed25519.PublicKey{k.Public()} }

// The tree, its root and the note are what the Go checksum database's own
// packages make of the same leaves.
func TestSealedLogIsAStandardTree(t *testing.T) {
	key := testKey(1)
	l := makeLog(t, testSealer(key), rand.New(rand.NewPCG(21, 22)), 777)
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var all []tlog.Hash
		for _, i := range indexes {
			all = append(all, stored[i])
		}
		return all, nil
	})
	for i, e := range l.rows {
		if leaf := tlog.RecordHash(e.Bytes); leaf != tlog.Hash(e.Hash) {
			t.Fatalf("entry %d has another leaf hash", i)
		}
		more, err := tlog.StoredHashes(int64(i), e.Bytes, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	want, err := tlog.TreeHash(777, reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(key.VerifierKey(l.head.Log))
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(l.head.Note, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if text := "tocsin/test/default/1\n777\n" + want.String() + "\n"; n.Text != text {
		t.Errorf("got note\n%swant\n%s", n.Text, text)
	}
}

func TestSealChangesNoArgument(t *testing.T) {
	s := testSealer(testKey(1))
	l := makeLog(t, s, rand.New(rand.NewPCG(23, 24)), 63)
	head, frontier := l.head, slices.Clone(l.head.Frontier)
	entries := []hub.AuditEntry{plausible(rand.New(rand.NewPCG(1, 1)), 1), {Tenant: "default", Action: "x"}}
	before := slices.Clone(entries)
	for range 3 {
		if _, _, err := s.Seal(l.head, entries); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(head, l.head) || !slices.Equal(frontier, l.head.Frontier) || !reflect.DeepEqual(before, entries) {
		t.Error("Seal changed what it was given")
	}
}

func TestSealTimesNeverDecrease(t *testing.T) {
	times := []int64{5_000_000, 4_000_000, 4_500_000, 6_000_000}
	i := 0
	s := NewSealer(testKey(1), "test", func() time.Time { i++; return time.UnixMicro(times[i-1]) })
	head := hub.AuditHead{Tenant: "default"}
	for call, want := range []int64{5_000_000, 5_000_000, 5_000_000, 6_000_000} {
		sealed, next, err := s.Seal(head, []hub.AuditEntry{{Tenant: "default"}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := Open(sealed[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Timestamp.UnixMicro(); got != want || next.Time != want {
			t.Errorf("call %d: entry at %d, head at %d, want %d", call, got, next.Time, want)
		}
		if !strings.HasPrefix(e.ID, hub.PrefixAudit) || e.Sequence != int64(call) || e.IntegrityHash != hexHash(sealed[0].Hash) {
			t.Errorf("call %d: got %+v", call, e)
		}
		head = next
	}
}

func TestSealRefuses(t *testing.T) {
	s := testSealer(testKey(1))
	good := makeLog(t, s, rand.New(rand.NewPCG(25, 26)), 5).head
	for _, c := range []struct {
		name   string
		change func(*hub.AuditHead)
		tenant hub.TenantID
	}{
		{"a short frontier", func(h *hub.AuditHead) { h.Frontier = h.Frontier[:1] }, "default"},
		{"a negative size", func(h *hub.AuditHead) { h.Size = -1 }, "default"},
		{"a name with a space", func(h *hub.AuditHead) { h.Log = "a b" }, "default"},
		{"a full log", func(h *hub.AuditHead) { h.Size, h.Frontier = maxInt, make([][32]byte, 53) }, "default"},
		{"another tenant", func(*hub.AuditHead) {}, "other"},
	} {
		h := good
		c.change(&h)
		if _, next, err := s.Seal(h, []hub.AuditEntry{{Tenant: c.tenant}}); err == nil || !reflect.DeepEqual(next, h) {
			t.Errorf("%s: err %v, head %+v", c.name, err, next)
		}
	}
}

// A bit that flips between hash and commit must not be signed.
func TestExtendHashesAgain(t *testing.T) {
	s := testSealer(testKey(1))
	r := rand.New(rand.NewPCG(27, 28))
	l := makeLog(t, s, r, 20)
	for range 100 {
		rows := slices.Clone(l.rows)
		k := r.IntN(len(rows))
		if r.IntN(2) == 0 {
			rows[k].Bytes = bytes.Clone(rows[k].Bytes)
			rows[k].Bytes[r.IntN(len(rows[k].Bytes))] ^= 1 << r.IntN(8)
		} else {
			rows[k].Hash[r.IntN(32)] ^= 1 << r.IntN(8)
		}
		if err := extend(&hub.AuditHead{}, rows); err == nil {
			t.Fatal("a flipped bit was signed")
		}
	}
}

func TestLogNames(t *testing.T) {
	s := NewSealer(testKey(1), "hub one+", nil)
	for tenant, want := range map[hub.TenantID]string{
		"default": "tocsin/hub%20one%2B/default/1",
		"a/b ü":   "tocsin/hub%20one%2B/a%2Fb%20%C3%BC/1",
	} {
		got := s.Log(tenant)
		if got != want || !validName(got) {
			t.Errorf("%q: got %s, want %s", tenant, got, want)
		}
	}
	if got, want := NewSealer(testKey(1), "", nil).Log("default"), "tocsin/"+testKey(1).ID()+"/default/1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCheckHead(t *testing.T) {
	key := testKey(1)
	good := makeLog(t, testSealer(key), rand.New(rand.NewPCG(29, 30)), 7).head
	for _, c := range []struct {
		name   string
		change func(*hub.AuditHead)
	}{
		{"size", func(h *hub.AuditHead) { h.Size = 11 }},
		{"frontier", func(h *hub.AuditHead) { h.Frontier = slices.Clone(h.Frontier); h.Frontier[0][0] ^= 1 }},
		{"no note", func(h *hub.AuditHead) { h.Note = nil }},
		{"name", func(h *hub.AuditHead) { h.Log = "other" }},
		{"another key", func(h *hub.AuditHead) {
			h.Note, _ = testKey(2).signCheckpoint(Checkpoint{h.Log, h.Size, root(h.Frontier)})
		}},
	} {
		h := good
		c.change(&h)
		if CheckHead(h, key.Public()) == nil {
			t.Errorf("%s: nothing was found", c.name)
		}
	}
	if err := CheckHead(good, testKey(2).Public(), key.Public()); err != nil {
		t.Error(err)
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.key")
	if _, err := LoadKey(path); err == nil {
		t.Fatal("there is no key yet")
	}
	keys := make([]*Key, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], err = LoadOrCreateKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range keys {
		if t.Failed() || !keys[i].Public().Equal(keys[0].Public()) {
			t.Fatalf("call %d made another key", i)
		}
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	text, _ := os.ReadFile(PublicFile(path))
	if public, err := ParsePublicKey(string(text)); err != nil || !public.Equal(keys[0].Public()) {
		t.Errorf("%s holds %s, %v", PublicFile(path), text, err)
	}
	refuseKeys(t, path)
}

func refuseKeys(t *testing.T, path string) {
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreateKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a key that others can read: %v", err)
		}
	}
	for _, text := range []string{"", "x", "-----BEGIN " + pemType + "-----\nAAAA\n-----END " + pemType + "-----\n"} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), fs.FileMode(0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreateKey(path); err == nil {
			t.Errorf("took %q", text)
		}
	}
}

func TestParsePublicKey(t *testing.T) {
	key := testKey(3)
	vkey := key.VerifierKey("tocsin/test/default/1")
	if got, err := ParsePublicKey(" " + vkey + "\n"); err != nil || !got.Equal(key.Public()) {
		t.Errorf("%s: %v", vkey, err)
	}
	for _, bad := range []string{"", "AAAA", vkey + "A", strings.Replace(vkey, "test", "best", 1), strings.Replace(vkey, "+", " ", 1)} {
		if _, err := ParsePublicKey(bad); err == nil {
			t.Errorf("took %q", bad)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	r := rand.New(rand.NewPCG(31, 32))
	s := NewSealer(testKey(1), "test", nil)
	entries := make([]hub.AuditEntry, 1000)
	for i := range entries {
		entries[i] = plausible(r, i)
	}
	head := hub.AuditHead{Tenant: "default"}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		_, next, err := s.Seal(head, entries)
		if err != nil {
			b.Fatal(err)
		}
		head, n = next, n+len(entries)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkVerify(b *testing.B) {
	key := testKey(1)
	l := makeLog(b, testSealer(key), rand.New(rand.NewPCG(33, 34)), 20000)
	n := 0
	for b.Loop() {
		if rep := Verify(b.Context(), l, Options{Keys: keysOf(key)}); rep.Verdict != Intact {
			b.Fatal(&rep)
		}
		n += len(l.rows)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}
