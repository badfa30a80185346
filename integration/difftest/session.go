package difftest

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/stack/packet"
)

// session plays a scenario on a Player one step at a time, so that the next step can depend on what came out.
type session struct {
	player scenario.Player
	s      *scenario.Scenario
	run    *scenario.Run
}

// start builds the router of s, whose steps are played and appended one by one.
func start(p scenario.Player, s *scenario.Scenario) (*session, error) {
	_, err := p.Ask(&scenario.Request{Op: "scenario", Name: s.Name, Interfaces: s.Interfaces, Routes: s.Routes, Sysctls: s.Sysctls,
		Rules: &s.Rules, Setup: s.Setup, Events: s.Events, Log: s.Log})
	return &session{p, s, &scenario.Run{Vars: map[string]uint64{}}}, err
}

// has tells whether this text stands in the rules that the scenario begins with.
func (x *session) has(text string) bool {
	return strings.Contains(x.s.Rules.V4, text) || strings.Contains(x.s.Rules.V6, text)
}

// do plays one step and appends it.
func (x *session) do(st scenario.Step) (*scenario.Outcome, error) {
	q := &scenario.Request{Op: st.Op, If: st.If, Offload: st.Offload, MS: st.MS, V4: st.V4, V6: st.V6, NoFlush: st.NoFlush, Set: st.Set, Cmd: st.Cmd,
		Proto: st.Proto, Addr: st.Addr, Port: st.Port}
	var o scenario.Outcome
	for _, text := range st.Pkt {
		b, err := packet.Build(substitute(text, x.run.Vars))
		if err != nil {
			return nil, fmt.Errorf("step %d: %q: %w", len(x.s.Steps), text, err)
		}
		o.Sent = append(o.Sent, b)
		q.Hex = append(q.Hex, hex.EncodeToString(b))
	}
	a, err := x.player.Ask(q)
	if err != nil {
		return nil, err
	}
	if o, err = outcome(x.s, a, o.Sent); err != nil {
		return nil, err
	}
	for name, b := range st.Bind {
		if b.Out < len(o.Out) {
			if v, err := packet.Get(o.Out[b.Out].Data, b.Field); err == nil {
				x.run.Vars[name] = v
			}
		}
	}
	x.s.Steps = append(x.s.Steps, st)
	x.run.Steps = append(x.run.Steps, o)
	return &o, nil
}

// bind gives the value of a field of the last step's out-th packet a name.
func (x *session) bind(name string, out int, field string) {
	i := len(x.s.Steps) - 1
	st := &x.s.Steps[i]
	v, err := packet.Get(x.run.Steps[i].Out[out].Data, field)
	if err != nil {
		return
	}
	if st.Bind == nil {
		st.Bind = map[string]scenario.Bind{}
	}
	st.Bind[name] = scenario.Bind{Out: out, Field: field, Range: [2]uint64{0, 65535}}
	x.run.Vars[name] = v
}

// end asks for the counters.
func (x *session) end() error {
	a, err := x.player.Ask(&scenario.Request{Op: "counters"})
	if err == nil {
		x.run.Counters = a.Counters
		_, err = x.player.Ask(&scenario.Request{Op: "end"})
	}
	return err
}

// outcome turns an answer into what Compare wants: packets grouped by interface, entries read.
func outcome(s *scenario.Scenario, a *scenario.Answer, sent [][]byte) (scenario.Outcome, error) {
	o := scenario.Outcome{Sent: sent, Expect: a.Expect, Events: a.Events, Log: a.Log}
	order := map[string]int{}
	for i, f := range s.Interfaces {
		order[f.Name] = i
	}
	for _, x := range a.Out {
		b, err := hex.DecodeString(x.Hex)
		if err != nil {
			return o, err
		}
		o.Out = append(o.Out, scenario.Sent{If: x.If, Data: b, GSO: x.GSO})
	}
	sort.SliceStable(o.Out, func(i, j int) bool { return order[o.Out[i].If] < order[o.Out[j].If] })
	for _, l := range a.CT {
		e, err := scenario.ParseEntry(l)
		if err != nil {
			return o, err
		}
		o.Entries = append(o.Entries, e)
	}
	return o, nil
}

var variable = regexp.MustCompile(`\$(\w+)`)

func substitute(text string, vars map[string]uint64) string {
	return variable.ReplaceAllStringFunc(text, func(name string) string {
		if v, ok := vars[name[1:]]; ok {
			return strconv.FormatUint(v, 10)
		}
		return name
	})
}
