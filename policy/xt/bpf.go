package xt

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/bpf"

	"github.com/moat-router/moat/policy"
)

// bpfMatch is -m bpf (xt_bpf.c): a classic BPF program that runs on the packet from its IP header on and matches if it
// does not return 0. Programs come as text, from nfbpf_compile or "tcpdump -ddd"; the Linux extensions of the
// instruction set but for the packet's length are not to be had.
type bpfMatch struct {
	raw []bpf.RawInstruction
	vm  *bpf.VM
}

type bpfArgs struct{ m bpfMatch }

const bpfMax = 64 // XT_BPF_MAX_NUM_INSTR

func (a *bpfArgs) Option(o *Opt) (bool, error) {
	s, err := o.Arg()
	if err == nil && o.Name == "--object-pinned" {
		err = fmt.Errorf("--object-pinned is not supported: programs of the kernel cannot run here; use --bytecode")
	}
	if err == nil {
		a.m.raw, err = parseBytecode(s)
	}
	return true, or(err, o)
}

// parseBytecode reads "n,code jt jf k,...".
func parseBytecode(s string) ([]bpf.RawInstruction, error) {
	count, rest, _ := strings.Cut(s, ",")
	n, ok := ParseUint(count, 1, bpfMax)
	if !ok {
		return nil, fmt.Errorf("bad length %q of the bytecode: a number from 1 to %d is wanted", count, bpfMax)
	}
	var prog []bpf.RawInstruction
	for i, text := range strings.Split(strings.TrimSuffix(rest, ","), ",") {
		f := strings.Fields(text)
		var v [4]uint64
		good := len(f) == 4
		for j, limit := range [4]uint64{65535, 255, 255, 1<<32 - 1} {
			if good {
				var err error
				v[j], err = strconv.ParseUint(f[j], 10, 64)
				good = err == nil && v[j] <= limit
			}
		}
		if !good {
			return nil, fmt.Errorf("bad instruction %d of the bytecode, %q: four decimal numbers, code jt jf k, are wanted", i+1, text)
		}
		prog = append(prog, bpf.RawInstruction{Op: uint16(v[0]), Jt: uint8(v[1]), Jf: uint8(v[2]), K: uint32(v[3])})
	}
	if uint64(len(prog)) != n {
		return nil, fmt.Errorf("the bytecode has %d instructions but says %d", len(prog), n)
	}
	return prog, nil
}

func (a *bpfArgs) Done(*RuleInfo) (policy.Match, error) {
	m := a.m
	if m.raw == nil {
		return nil, missing("--bytecode")
	}
	prog := make([]bpf.Instruction, len(m.raw))
	for i, r := range m.raw {
		prog[i] = r.Disassemble()
		if _, unknown := prog[i].(bpf.RawInstruction); unknown {
			return nil, fmt.Errorf("instruction %d of the bytecode is not classic BPF", i+1)
		}
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		return nil, fmt.Errorf("the bytecode cannot run: %w", err)
	}
	m.vm = vm
	return &m, nil
}

func (m *bpfMatch) Name() string { return "bpf" }

func (m *bpfMatch) Match(p *policy.Packet) bool {
	n, err := m.vm.Run(p.Data)
	return err == nil && n != 0
}

func (m *bpfMatch) AppendSave(b []byte) []byte {
	b = fmt.Appendf(b, ` --bytecode "%d`, len(m.raw))
	for _, r := range m.raw {
		b = fmt.Appendf(b, ",%d %d %d %d", r.Op, r.Jt, r.Jf, r.K)
	}
	return append(b, '"')
}

// AppendList leaves out the NUL byte that iptables prints at the end.
func (m *bpfMatch) AppendList(b []byte, numeric bool) []byte {
	for i, r := range m.raw {
		b = fmt.Appendf(append(b, [...]string{"match bpf ", ","}[min(i, 1)]...), "%d %d %d %d", r.Op, r.Jt, r.Jf, r.K)
	}
	return b
}
