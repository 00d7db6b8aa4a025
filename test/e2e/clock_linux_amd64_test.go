package e2e

import (
	"debug/elf"
	little "encoding/binary"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// A jumper makes the wall clock of one running process jump, as an administrator
// or a bad time server does to a machine; its monotonic clock goes on.
//
// Go asks the kernel for the time through a pointer, runtime.vdsoClockgettimeSym.
// The jumper puts a few instructions in place of a function that is there for
// debuggers only, and has the pointer lead to them: they call what it led to and
// add the jump to the seconds. The program under test is the one that is shipped;
// one that is built with another package time would take minutes to build.
type jumper struct {
	memory *os.File
	jump   int64 // address of the seconds that are added
}

// clockJumps says whether this machine's nodes can be made to jump.
const clockJumps = true

// newJumper takes hold of the clock of a running node.
func newJumper(t *testing.T, h *rig.Hub) *jumper {
	t.Helper()
	pointer, code, room := clockSymbols(t, h.Binary)
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", h.PID()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var was [8]byte
	if _, err := memory.ReadAt(was[:], pointer); err != nil {
		t.Fatal(err)
	}
	kernel := little.LittleEndian.Uint64(was[:])
	text := jumping(kernel, code)
	if len(text) > room {
		t.Fatalf("there is room for %d bytes of instructions, not %d", room, len(text))
	}
	j := &jumper{memory: memory, jump: code + int64(len(text)) - 8}
	if kernel == uint64(code) {
		return j // another jumper was here
	}
	j.write(t, code, text)
	j.write(t, pointer, little.LittleEndian.AppendUint64(nil, uint64(code)))
	return j
}

// jumping gives the instructions, which stand at an address, and behind them the
// seconds of the jump, 0 at first.
func jumping(kernel uint64, at int64) []byte {
	text := []byte{
		0x57, 0x56, // push rdi (which clock), rsi (where to)
		0x48, 0x83, 0xec, 0x08, // sub rsp, 8
		0x48, 0xb8, // mov rax, kernel
	}
	text = little.LittleEndian.AppendUint64(text, kernel)
	text = append(text,
		0xff, 0xd0, // call rax
		0x48, 0x83, 0xc4, 0x08, // add rsp, 8
		0x5e, 0x5f, // pop rsi, rdi
		0x85, 0xff, // test edi, edi: 0 is the wall clock
		0x75, 0x10, // jnz to ret
		0x48, 0xb9, // mov rcx, jump
	)
	end := at + int64(len(text)) + 8 + 6 + 1
	text = little.LittleEndian.AppendUint64(text, uint64((end+7)&^7))
	text = append(text,
		0x48, 0x8b, 0x09, // mov rcx, [rcx]
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3, // ret
	)
	for (at+int64(len(text)))%8 != 0 {
		text = append(text, 0xcc)
	}
	return append(text, make([]byte, 8)...)
}

// clockSymbols finds the pointer to the kernel's clock, and a function that nobody
// calls, with its size.
func clockSymbols(t *testing.T, program string) (pointer, code int64, room int) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		switch s.Name {
		case "runtime.vdsoClockgettimeSym":
			pointer = int64(s.Value)
		case "runtime.debugCallV2":
			code, room = int64(s.Value), int(s.Size)
		}
	}
	if pointer == 0 || code == 0 {
		t.Fatal("this version of Go keeps its clock elsewhere; look at runtime/time_linux_amd64.s")
	}
	return pointer, code, room
}

func (j *jumper) write(t *testing.T, at int64, b []byte) {
	t.Helper()
	if _, err := j.memory.WriteAt(b, at); err != nil {
		t.Fatalf("write to the memory of a node: %v", err)
	}
}

// to sets the clock to what it would be, and so much more.
func (j *jumper) to(t *testing.T, ahead time.Duration) {
	t.Helper()
	j.write(t, j.jump, little.LittleEndian.AppendUint64(nil, uint64(int64(ahead/time.Second))))
}

func (j *jumper) close(t *testing.T) {
	t.Helper()
	if err := j.memory.Close(); err != nil {
		t.Error(err)
	}
}
