package conntrack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/moat-router/moat/stack/packet"
)

func handmade(t *testing.T, proto uint8, state string) Spec {
	t.Helper()
	a := func(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }
	orig := Tuple{Src: a("10.0.0.1"), Dst: a("10.0.0.2"), SrcPort: 53, DstPort: 54, Proto: proto}
	reply, ok := orig.Invert()
	if !ok {
		t.Fatal("no reply tuple")
	}
	return Spec{Tuple: [2]Tuple{orig, reply}, Timeout: 30 * time.Second, State: state}
}

func TestAConnectionMadeByHandIsFoundToldOfAndExpires(t *testing.T) {
	t.Parallel()
	table := New(Options{Seed: 1})
	var told []Event
	table.Subscribe(func(e Event) { told = append(told, e) })
	s := handmade(t, packet.ProtoTCP, "ESTABLISHED")
	s.Status, s.Mark, s.Labels = StatusSeenReply|StatusAssured, 0x13, []int{5, 127}
	if err := table.Create(0, &s); err != nil {
		t.Fatal(err)
	}
	if err := table.Create(0, &s); err != ErrExists {
		t.Errorf("the same again: %v", err)
	}
	taken := s
	taken.Tuple[Original].Dst[15] = 99 // another flow whose replies would be the same
	if err := table.Create(0, &taken); err != ErrExists {
		t.Errorf("a reply tuple that is taken: %v", err)
	}
	ref, ok := table.Find(0, s.Tuple[Reply])
	if !ok {
		t.Fatal("not found by its reply")
	}
	c := ref.Conn
	if f := c.tcp().flags; f[Original]&f[Reply]&tcpLiberal == 0 {
		t.Error("its windows, which nobody knows, are minded")
	}
	if got := string(c.AppendProc(nil, 0)); got != "ipv4     2 tcp      6 30 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=53 dport=54 src=10.0.0.2 dst=10.0.0.1 sport=54 dport=53 [ASSURED] mark=19 zone=0 use=2" {
		t.Error(got)
	}
	if l := c.Labels(); l[0] != 1<<5 || l[15] != 1<<7 {
		t.Errorf("labels %v", l)
	}
	for _, x := range []struct {
		ch      Change
		changed bool
	}{
		{Change{Mark: 3, MarkMask: 0xf0}, true}, // 0x13 with 0xf0 cleared and 3 over it: 0
		{Change{MarkMask: 0xffffffff}, false},
		{Change{Status: StatusAssured}, false},
		{Change{Status: StatusFixedTimeout}, true},
		{Change{State: "CLOSE", Timeout: 5 * time.Second, HasTimeout: true}, true},
		{Change{State: "CLOSE"}, false},
		{Change{DropLabels: []int{5, 6}}, true},
		{Change{DropLabels: []int{5, 6}}, false},
	} {
		if got := table.Update(0, c, &x.ch); got != x.changed {
			t.Errorf("%+v: changed %v, want %v", x.ch, got, x.changed)
		}
	}
	if c.Mark() != 0 || c.StateName() != "CLOSE" || c.Expires() != packet.Time(5*time.Second) {
		t.Errorf("mark %#x, %s until %v", c.Mark(), c.StateName(), c.Expires())
	}
	table.Release(&ref)
	table.Advance(packet.Time(6 * time.Second))
	if table.Count() != 0 {
		t.Errorf("%d connections are left", table.Count())
	}
	var kinds []EventType
	for _, e := range told {
		kinds = append(kinds, e.Type)
	}
	want := []EventType{EventNew, EventUpdate, EventUpdate, EventUpdate, EventUpdate, EventDestroy}
	if len(kinds) != len(want) {
		t.Fatalf("told of %v, want %v", kinds, want)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Fatalf("told of %v, want %v", kinds, want)
		}
	}
	if told[0].State != "ESTABLISHED" || told[0].Mark != 0x13 {
		t.Errorf("%+v", told[0])
	}
}

func TestWhatCannotBeMadeIsRefusedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	p := *DefaultParams()
	p.Max = 1
	table := New(Options{Seed: 1, Params: &p})
	udp := handmade(t, packet.ProtoUDP, "ESTABLISHED")
	tags := handmade(t, packet.ProtoUDP, "")
	tags.Tags[0] = 1
	icmp := handmade(t, packet.ProtoUDP, "")
	icmp.Tuple[Original].Proto, icmp.Tuple[Original].DstPort = packet.ProtoICMP, 3<<8
	for want, s := range map[error]*Spec{ErrBadState: &udp, ErrHasNoTags: &tags, ErrNoAnswer: &icmp} {
		if err := table.Create(0, s); err != want || table.Count() != 0 {
			t.Errorf("%v, want %v; %d connections", err, want, table.Count())
		}
	}
	one, other := handmade(t, packet.ProtoTCP, "ESTABLISHED"), handmade(t, packet.ProtoUDP, "")
	one.Status = StatusAssured
	if err := table.Create(0, &one); err != nil {
		t.Fatal(err)
	}
	if err := table.Create(0, &other); err != ErrFull || table.Count() != 1 {
		t.Errorf("%v with %d connections", err, table.Count())
	}
}
