package scenario

import (
	"fmt"
	"sort"

	"github.com/moat-router/moat/stack/packet"
)

// Player is a router under test. Ask returns a *Refused error for what the router will not do; its state is then
// unchanged. Any other error means that the Player is broken and cannot go on.
type Player interface {
	Ask(r *Request) (*Answer, error)
}

// Refused is an implementation's own "error" answer.
type Refused struct{ Op, Text string }

func (e *Refused) Error() string { return e.Op + ": " + e.Text }

// Run is how a scenario went.
type Run struct {
	Steps    []Outcome
	Vars     map[string]uint64              // values of bound variables
	Counters map[string]map[string][]string // at the end
}

// Outcome is what one step brought.
type Outcome struct {
	Sent    [][]byte // the packets injected
	Out     []Sent   // grouped in the scenario's order of interfaces
	Entries []Entry
	Expect  []string
	Events  []Event
	Log     []LogLine
}

// Sent is a packet that left through an interface.
type Sent struct {
	If   string
	Data []byte
	GSO  int // of a super-segment: bytes of payload in each segment
}

// Play puts the Player through the scenario. The Run holds as many steps as were answered, also on error.
func Play(p Player, s *Scenario) (*Run, error) {
	run := &Run{Vars: map[string]uint64{}}
	if _, err := p.Ask(s.request()); err != nil {
		return run, err
	}
	for i := range s.Steps {
		st := &s.Steps[i]
		r := st.request()
		var o Outcome
		if st.Op == "inject" {
			var err error
			if o.Sent, err = s.packets(i, run.Vars); err != nil {
				return run, fmt.Errorf("step %d: %w", i, err)
			}
			for _, b := range o.Sent {
				r.Hex = append(r.Hex, fmt.Sprintf("%x", b))
			}
		}
		a, err := p.Ask(r)
		if err != nil {
			return run, err
		}
		if err := o.take(s, a); err != nil {
			return run, fmt.Errorf("malformed answer to %q: %w", st.Op, err)
		}
		run.Steps = append(run.Steps, o)
		for name, b := range st.Bind {
			if b.Out < len(o.Out) {
				if v, err := packet.Get(o.Out[b.Out].Data, b.Field); err == nil {
					run.Vars[name] = v
				}
			}
		}
	}
	a, err := p.Ask(&Request{Op: "counters"})
	if err != nil {
		return run, err
	}
	run.Counters = a.Counters
	_, err = p.Ask(&Request{Op: "end"})
	return run, err
}

func (s *Scenario) request() *Request {
	return &Request{Op: "scenario", Name: s.Name, Interfaces: s.Interfaces, Routes: s.Routes, Sysctls: s.Sysctls,
		Rules: &s.Rules, Setup: s.Setup, Events: s.Events, Log: s.Log}
}

func (st *Step) request() *Request {
	return &Request{Op: st.Op, If: st.If, Offload: st.Offload, MS: st.MS, V4: st.V4, V6: st.V6, NoFlush: st.NoFlush, Set: st.Set,
		Cmd: st.Cmd, Proto: st.Proto, Addr: st.Addr, Port: st.Port}
}

// packets are the bytes of step i: as recorded, or built from the text where it depends on what the router chose, or
// where nothing is recorded.
func (s *Scenario) packets(i int, vars map[string]uint64) ([][]byte, error) {
	var recorded []string
	if i < len(s.Expected) {
		recorded = s.Expected[i].InjectHex
	}
	var out [][]byte
	for k, text := range s.Steps[i].Pkt {
		built, bound := substitute(text, vars)
		var b []byte
		var err error
		if bound || k >= len(recorded) {
			b, err = packet.Build(built)
		} else {
			b, err = decodeHex(recorded[k])
		}
		if err != nil {
			return nil, fmt.Errorf("packet %d: %w", k, err)
		}
		out = append(out, b)
	}
	return out, nil
}

func (o *Outcome) take(s *Scenario, a *Answer) error {
	order := map[string]int{}
	for i, f := range s.Interfaces {
		order[f.Name] = i - len(s.Interfaces) // an interface that is not there sorts last
	}
	for _, x := range a.Out {
		b, err := decodeHex(x.Hex)
		if err != nil {
			return err
		}
		o.Out = append(o.Out, Sent{x.If, b, x.GSO})
	}
	sort.SliceStable(o.Out, func(i, j int) bool { return order[o.Out[i].If] < order[o.Out[j].If] })
	for _, l := range a.CT {
		e, err := ParseEntry(l)
		if err != nil {
			return err
		}
		o.Entries = append(o.Entries, e)
	}
	o.Expect, o.Events, o.Log = a.Expect, a.Events, a.Log
	return nil
}
