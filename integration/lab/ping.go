package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/moat-router/moat/integration/lab/wire"
	"github.com/moat-router/moat/stack/packet"
)

// Probe says what Ping sends.
type Probe struct {
	From    netip.Addr    // default: the one that the host's routes name
	TTL     int           // 0: 64
	Size    int           // bytes of payload
	DF      bool          // IPv4: don't fragment
	UDP     uint16        // a UDP datagram to this port instead of an echo request
	Timeout time.Duration // 0: one second
}

// Answer is what came back for a Probe.
type Answer struct {
	From       netip.Addr
	Reply      bool // an echo reply; otherwise an ICMP error
	Type, Code uint8
	RTT        time.Duration
	Datagram   []byte // from its IP header on
}

func (a Answer) String() string {
	if a.Reply {
		return fmt.Sprintf("reply from %s", a.From)
	}
	return fmt.Sprintf("%s from %s", ICMPName(a.From.Is6(), a.Type, a.Code), a.From)
}

// ICMPName is "icmp 3/3" or "icmp6 1/4", as in packet notation.
func ICMPName(v6 bool, typ, code uint8) string {
	name := "icmp"
	if v6 {
		name = "icmp6"
	}
	return fmt.Sprintf("%s %d/%d", name, typ, code)
}

// probeID is what identifiers and source ports of probes count from.
const probeID = 0x4d00

// Ping sends one probe, as a raw socket of the host does, and gives the echo reply or the ICMP error that quotes it, as
// it was on the wire. os.ErrDeadlineExceeded says that nothing came.
func (h *Host) Ping(dst netip.Addr, o Probe) (Answer, error) {
	if !o.From.IsValid() {
		o.From = h.Source(dst)
	}
	if !o.From.IsValid() {
		o.From = h.Addr(dst) // no route: Send tells
	}
	if !o.From.IsValid() {
		return Answer{}, fmt.Errorf("host %s: ping %s: it has no address of that family", h.Name, dst)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	id := probeID + uint16(h.seq.Add(1))
	var got atomic.Pointer[Answer]
	start := h.lab.Time()
	stop := h.Watch(func(s wire.Sighting) {
		if a, ok := answers(s.Data, id, o.UDP != 0); ok {
			a.RTT = s.At.Sub(start)
			got.CompareAndSwap(nil, &a)
		}
	})
	defer stop()
	if err := h.Send(o.build(dst, id)); err != nil {
		return Answer{}, fmt.Errorf("host %s: ping %s: %w", h.Name, dst, err)
	}
	if !h.lab.Wait(func() bool { return got.Load() != nil }, o.Timeout) {
		return Answer{}, fmt.Errorf("host %s: ping %s: %w", h.Name, dst, os.ErrDeadlineExceeded)
	}
	return *got.Load(), nil
}

// Trace probes with growing TTL until dst answers, and gives one Answer for each hop; a silent one is the zero Answer.
func (h *Host) Trace(dst netip.Addr, hops int, o Probe) (path []Answer, err error) {
	for o.TTL = 1; o.TTL <= hops; o.TTL++ {
		a, err := h.Ping(dst, o)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return path, err
		}
		path = append(path, a)
		if a.Reply || a.From == dst {
			break
		}
	}
	return path, nil
}

func (o *Probe) build(dst netip.Addr, id uint16) []byte {
	ttl := o.TTL
	if ttl == 0 {
		ttl = 64
	}
	ip := fmt.Sprintf("ip4 %v>%v ttl=%d id=%d", o.From, dst, ttl, id)
	if o.DF {
		ip += " df"
	}
	transport := fmt.Sprintf("icmp 8/0 id=%d seq=1 len=%d", id, o.Size)
	if dst.Is6() {
		ip = fmt.Sprintf("ip6 %v>%v hlim=%d", o.From, dst, ttl)
		transport = fmt.Sprintf("icmp6 128/0 id=%d seq=1 len=%d", id, o.Size)
	}
	if o.UDP != 0 {
		transport = fmt.Sprintf("udp %d>%d len=%d", id, o.UDP, o.Size)
	}
	return packet.MustBuild(ip + " / " + transport)
}

// answers tells whether a datagram answers the probe of this id.
func answers(data []byte, id uint16, udp bool) (a Answer, ok bool) {
	p := packet.New()
	p.Load(data)
	if p.Parse() != packet.ReasonNone {
		return a, false
	}
	t := p.L4Bytes()
	isICMP := !p.V6 && p.Proto == packet.ProtoICMP || p.V6 && p.Proto == packet.ProtoICMPv6
	if !isICMP || len(t) < 8 {
		return a, false
	}
	a = Answer{From: p.Src().IP(), Type: t[0], Code: t[1], Datagram: data}
	if p.IsICMPError() {
		q, whole := p.Quote()
		if !whole {
			return a, false
		}
		in := q.L4Bytes()
		if udp {
			return a, len(in) >= 2 && q.Proto() == packet.ProtoUDP && binary.BigEndian.Uint16(in) == id
		}
		return a, len(in) >= 6 && q.Proto() == p.Proto && binary.BigEndian.Uint16(in[4:]) == id
	}
	a.Reply = t[0] == 0 && !p.V6 || t[0] == 129 && p.V6
	return a, a.Reply && !udp && binary.BigEndian.Uint16(t[4:]) == id
}
