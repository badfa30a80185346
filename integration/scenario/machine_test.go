package scenario

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// masquerade is a router with one connection through it.
func masquerade(t *testing.T) *Machine {
	t.Helper()
	m := NewMachine(1)
	t.Cleanup(m.Close)
	ask(t, m, &Request{Op: "scenario", Interfaces: []Interface{
		{Name: "lan", Addrs: []Address{{Local: "192.168.1.1/24"}}}, {Name: "wan", Addrs: []Address{{Local: "10.0.0.2/30"}}}},
		Routes: []string{"default via 10.0.0.1 dev wan"}, Events: true, Log: true,
		Rules: &Rules{V4: "*nat\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n*filter\n-A FORWARD -i lan -j LOG --log-prefix \"x \"\nCOMMIT\n"}})
	ask(t, m, syn)
	return m
}

// ip4 192.168.1.10>198.51.100.9 / tcp 5000>80 S
var syn = &Request{Op: "inject", If: "lan", Hex: []string{"450000281234400040063cadc0a8010ac6336409138800500000006400000000500203e8abcf0000"}}

func ask(t *testing.T, m *Machine, r *Request) *Answer {
	t.Helper()
	a, err := m.Ask(r)
	if err != nil {
		t.Fatalf("%s: %v", r.Op, err)
	}
	return a
}

func TestARefusedOperationChangesNothing(t *testing.T) {
	t.Parallel()
	m := masquerade(t)
	before := ask(t, m, &Request{Op: "sleep"})
	counters := ask(t, m, &Request{Op: "counters"})
	for _, r := range []*Request{
		{Op: "fly"},
		{Op: "inject", If: "dmz", Hex: syn.Hex},
		{Op: "inject", If: "lo", Hex: syn.Hex},
		{Op: "inject", If: "lan", Hex: []string{syn.Hex[0], "4"}},
		{Op: "inject", If: "lan", Hex: []string{syn.Hex[0], "zz"}},
		{Op: "inject", If: "lan", Hex: []string{syn.Hex[0], strings.Repeat("00", 1<<17)}},
		{Op: "sleep", MS: -1},
		{Op: "sleep", MS: 1 << 62},
		{Op: "rules", V4: "*filter\n-A FORWARD -j FLY\nCOMMIT\n"},
		{Op: "rules", V4: "*nat\nCOMMIT\n*filter\n-A FORWARD -j DROP\nCOMMIT\n", V6: "*filter\n-A FORWARD -j FLY\nCOMMIT\n"},
		{Op: "rules", V4: "*nat\nCOMMIT\n*filter\n-A FORWARD -j FLY\nCOMMIT\n", NoFlush: true},
		{Op: "host", Cmd: "ip fly"},
		{Op: "host", Cmd: "ip addr del 10.0.0.2/30 dev wan; ip addr add nonsense dev wan"},
		{Op: "listen", Proto: "tcp", Addr: "1.2.3", Port: 80},
		{Op: "listen", Proto: "tcp", Addr: "0.0.0.0", Port: 0},
		{Op: "listen", Proto: "carrier-pigeon", Addr: "0.0.0.0", Port: 80},
	} {
		_, err := m.Ask(r)
		var refused *Refused
		if !errors.As(err, &refused) || refused.Text == "" {
			t.Errorf("%+v: %v, want a refusal", r, err)
		}
	}
	if after := ask(t, m, &Request{Op: "sleep"}); !reflect.DeepEqual(before, after) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
	if after := ask(t, m, &Request{Op: "counters"}); !reflect.DeepEqual(counters, after) {
		t.Errorf("before %+v\nafter  %+v", counters, after)
	}
	if a := ask(t, m, syn); len(a.Out) != 1 || len(a.Log) != 1 {
		t.Errorf("the next packet: %+v", a)
	}
}

func TestOperationsNeedAScenario(t *testing.T) {
	t.Parallel()
	m := NewMachine(1)
	for _, op := range []string{"inject", "sleep", "rules", "sysctl", "ct_flush", "host", "listen", "counters"} {
		if _, err := m.Ask(&Request{Op: op}); err == nil || err.Error() != op+": no scenario" {
			t.Errorf("%s: %v", op, err)
		}
	}
	m = masquerade(t)
	if _, err := m.Ask(&Request{Op: "scenario", Interfaces: []Interface{{Name: "lan"}, {Name: "lan"}}}); err == nil {
		t.Error("two interfaces of one name")
	}
	if _, err := m.Ask(&Request{Op: "sleep"}); err == nil {
		t.Error("a scenario is left after one that failed")
	}
}

func TestAnUnknownSysctlIsAWarning(t *testing.T) {
	t.Parallel()
	m := masquerade(t)
	a := ask(t, m, &Request{Op: "sysctl", Set: Sysctls{{"net.fly", "1"}, {"net.netfilter.nf_conntrack_udp_timeout", "7"}}})
	if len(a.Warn) != 1 || !strings.Contains(a.Warn[0], "net.fly") {
		t.Errorf("%q", a.Warn)
	}
}

func TestWhatWasNotWantedIsNotToldLater(t *testing.T) {
	t.Parallel()
	m := masquerade(t)
	if a := ask(t, m, syn); len(a.Out) != 1 || len(a.Log) != 1 || len(a.CT) != 1 {
		t.Fatalf("%+v", a)
	}
	if a := ask(t, m, &Request{Op: "sleep"}); len(a.Out)+len(a.Log)+len(a.Events) != 0 {
		t.Errorf("told twice: %+v", a)
	}
	if a := ask(t, m, &Request{Op: "ct_flush"}); len(a.CT) != 0 || len(a.Events) != 1 || a.Events[0].Ev != "DESTROY" {
		t.Errorf("%+v", a)
	}
}

func TestTheSameSeedMakesTheSameChoices(t *testing.T) {
	t.Parallel()
	rules := &Rules{V4: "*nat\n-A POSTROUTING -o wan -j MASQUERADE --random\nCOMMIT\n"}
	play := func(seed uint64) string {
		m := NewMachine(seed)
		defer m.Close()
		ask(t, m, &Request{Op: "scenario", Interfaces: []Interface{
			{Name: "lan", Addrs: []Address{{Local: "192.168.1.1/24"}}}, {Name: "wan", Addrs: []Address{{Local: "10.0.0.2/30"}}}},
			Routes: []string{"default via 10.0.0.1 dev wan"}, Rules: rules})
		return ask(t, m, syn).Out[0].Hex
	}
	if a, b := play(7), play(7); a != b {
		t.Errorf("%s\n%s", a, b)
	}
	if a, b := play(7), play(8); a == b {
		t.Errorf("seeds 7 and 8 chose the same port: %s", a)
	}
}
