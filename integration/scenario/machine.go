package scenario

import (
	"fmt"
	"time"

	"github.com/moat-router/moat/router"
	"github.com/moat-router/moat/router/sysctl"
)

// Machine is a moat router in this process as a Player: in-memory links, a clock that only "sleep" moves, sysctls from
// the lockstep defaults, conntrack and reassembly once a rule needs them.
type Machine struct {
	seed uint64
	r    *router.Router
	ifs  map[string]bool
	want Router // which parts of an answer are wanted

	// Configure may change what the router is built from, for tests that compare two ways of doing the same; nil for
	// no change.
	Configure func(*router.Config)
}

// NewMachine prepares a Player without a scenario. The same seed makes the same random choices.
func NewMachine(seed uint64) *Machine { return &Machine{seed: seed} }

// Close ends the scenario, if there is one.
func (m *Machine) Close() {
	if m.r != nil {
		m.r.Close()
	}
	m.r = nil
}

// maxSleep bounds one "sleep": a century, so that no sum of them leaves the clock's range.
const maxSleep = 100 * 365 * 24 * time.Hour

// Ask does one operation. Errors are *Refused, and leave everything as it was.
func (m *Machine) Ask(q *Request) (*Answer, error) {
	switch q.Op {
	case "scenario":
		m.Close()
		warn, err := m.build(q)
		if err != nil {
			m.Close()
			return nil, &Refused{q.Op, err.Error()}
		}
		return &Answer{Warn: warn}, nil
	case "end":
		m.Close()
		return &Answer{}, nil
	case "inject", "sleep", "rules", "sysctl", "ct_flush", "host", "listen", "counters":
		if m.r == nil {
			return nil, &Refused{q.Op, "no scenario"}
		}
	default:
		return nil, &Refused{q.Op, fmt.Sprintf("unknown op %q", q.Op)}
	}
	if q.Op == "counters" {
		c := m.r.Counters()
		if sets := m.r.SaveSets(); sets != "" {
			c[SetsFamily] = SetElements(sets)
		}
		return &Answer{Counters: c}, nil
	}
	warn, err := m.act(q)
	if err != nil {
		return nil, &Refused{q.Op, err.Error()}
	}
	return m.answer(warn), nil
}

func (m *Machine) build(q *Request) (warn []string, err error) {
	cfg := router.Config{SysctlBase: sysctl.Lockstep(), WhenUsed: true, Seed: m.seed, Routes: q.Routes, Events: q.Events}
	m.ifs, m.want = map[string]bool{}, Router{Events: q.Events, Log: q.Log}
	for _, i := range q.Interfaces {
		d := router.Device{Name: i.Name, MTU: i.MTU, CsumOffload: i.CsumOffload}
		if i.Offload {
			d.Offloads = takesAll
		}
		for _, a := range i.Addrs {
			d.Addrs = append(d.Addrs, [2]string{a.Local, a.Peer})
		}
		cfg.Devices = append(cfg.Devices, d)
		m.ifs[i.Name] = true
	}
	if m.Configure != nil {
		m.Configure(&cfg)
	}
	if m.r, err = router.New(cfg); err != nil {
		return nil, err
	}
	warn = m.sysctls(q.Sysctls)
	for _, c := range q.Setup {
		if err := m.host(c); err != nil {
			return nil, fmt.Errorf("setup %q: %w", c, err)
		}
	}
	if q.Rules != nil {
		if err := m.restore(q.Rules.V4, q.Rules.V6, false); err != nil {
			return nil, err
		}
	}
	m.answer(nil) // what building it brought about is nobody's answer
	return warn, nil
}

// host runs a line of iproute2's commands, or one of ipset's.
func (m *Machine) host(line string) error {
	if c, ok := SetCommand(line); ok {
		return m.r.SetCommand(c)
	}
	return m.r.IP(line)
}

// sysctls sets each of them. One that does not exist, or not with this value, is a warning: kernels differ there.
func (m *Machine) sysctls(list Sysctls) (warn []string) {
	for _, s := range list {
		if err := m.r.Sysctl(s.Name, s.Value); err != nil {
			warn = append(warn, err.Error())
		}
	}
	return warn
}

func (m *Machine) restore(v4, v6 string, noflush bool) error {
	return m.r.Restore(router.Rules{Name: "rules.v4", Text: v4}, router.Rules{Name: "rules.v6", Text: v6}, noflush)
}

// act does what changes the router. Everything that can be wrong is found out before anything is done.
func (m *Machine) act(q *Request) (warn []string, err error) {
	switch q.Op {
	case "inject":
		if !m.ifs[q.If] {
			return nil, fmt.Errorf("no interface %q", q.If)
		}
		packets, err := bytesOf(q.Hex)
		if err != nil {
			return nil, err
		}
		for _, b := range packets {
			data, beside, err := q.Offload.Of(b)
			if err != nil {
				return nil, err
			}
			if err := m.r.InjectOffload(q.If, data, beside); err != nil {
				return nil, err
			}
		}
		return nil, nil
	case "sleep":
		d := time.Duration(q.MS) * time.Millisecond
		if q.MS < 0 || q.MS > int64(maxSleep/time.Millisecond) {
			return nil, fmt.Errorf("cannot sleep %d ms", q.MS)
		}
		m.r.Advance(d)
		return nil, nil
	case "rules":
		return nil, m.restore(q.V4, q.V6, q.NoFlush)
	case "sysctl":
		return m.sysctls(q.Set), nil
	case "ct_flush":
		m.r.FlushConntrack()
		return nil, nil
	case "host":
		return nil, m.host(q.Cmd)
	}
	return nil, m.r.Listen(q.Proto, q.Addr, q.Port)
}

func (m *Machine) answer(warn []string) *Answer {
	a := &Answer{CT: m.r.ConntrackLines(), Expect: m.r.ExpectLines(), Warn: warn}
	for _, s := range m.r.Output() {
		s.Offload.CompleteChecksum(s.Data)
		a.Out = append(a.Out, OutPacket{s.Dev, fmt.Sprintf("%x", s.Data), int(s.GSOSize)})
	}
	events, logs := m.r.Events(), m.r.Logs()
	if m.want.Events {
		for i := range events {
			a.Events = append(a.Events, eventOf(&events[i]))
		}
	}
	if m.want.Log {
		for _, l := range logs {
			a.Log = append(a.Log, LogLine{int(l.Level), l.Text})
		}
	}
	return a
}
