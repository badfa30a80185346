package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/moat-router/moat/stack/packet"
)

// Probe says what Ping sends.
type Probe struct {
	TTL     int           // 0: 64
	Size    int           // bytes of payload behind the 8 of the ICMP or UDP header
	DF      bool          // IPv4: don't fragment
	UDP     uint16        // send a UDP datagram to this port instead of an echo request
	Timeout time.Duration // 0: one second
}

// Answer is what came back for a Probe.
type Answer struct {
	From       netip.Addr
	Reply      bool  // an echo reply; otherwise an ICMP error, of this type and code
	Type, Code uint8 // ICMP or ICMPv6
	TTL        uint8
	RTT        time.Duration
	Datagram   []byte // the whole datagram that answered, from its IP header on
}

func (a Answer) String() string {
	if a.Reply {
		return fmt.Sprintf("reply from %s: ttl=%d time=%v", a.From, a.TTL, a.RTT)
	}
	return fmt.Sprintf("from %s: icmp %d/%d", a.From, a.Type, a.Code)
}

// ErrNoAddress is returned by Ping for a destination in a family of which the host has no address.
var ErrNoAddress = errors.New("the host has no address of that family")

// traceID is the UDP source port, and the echo identifier, that a host counts its probes from.
const traceID = 0x4d00

// Ping sends one probe and waits for what answers it: an echo reply, or an ICMP error that quotes it.
// os.ErrDeadlineExceeded says that nothing came.
func (h *Host) Ping(dst netip.Addr, o Probe) (Answer, error) {
	src := h.Addr(dst)
	if !src.IsValid() {
		return Answer{}, fmt.Errorf("host %s: ping %s: %w", h.Name, dst, ErrNoAddress)
	}
	if o.TTL == 0 {
		o.TTL = 64
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	h.mu.Lock()
	h.echoSeq++
	id := traceID + h.echoSeq
	h.mu.Unlock()

	got := make(chan Answer, 1)
	start := h.now()
	stop := h.Watch(func(p *packet.Packet) {
		a, ok := answers(p, id, o.UDP)
		if !ok {
			return
		}
		a.RTT = h.now().Sub(start)
		select {
		case got <- a:
		default: // the first answer counts
		}
	})
	defer stop()
	if err := h.Send(o.build(src, dst, id)); err != nil {
		return Answer{}, fmt.Errorf("host %s: ping %s: %w", h.Name, dst, err)
	}
	if h.cfg.Clock != nil {
		h.cfg.Wait(func() bool { return len(got) > 0 }, h.cfg.Clock.Time().Add(o.Timeout))
		select {
		case a := <-got:
			return a, nil
		default:
		}
	} else {
		t := time.NewTimer(o.Timeout)
		defer t.Stop()
		select {
		case a := <-got:
			return a, nil
		case <-t.C:
		}
	}
	return Answer{}, fmt.Errorf("host %s: ping %s: %w", h.Name, dst, os.ErrDeadlineExceeded)
}

// Trace probes with growing TTL until dst answers, and returns one Answer per hop; a silent hop is the zero Answer.
func (h *Host) Trace(dst netip.Addr, hops int, o Probe) ([]Answer, error) {
	var path []Answer
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

// build makes the datagram. The payload is the alphabet, as in the packet notation.
func (o Probe) build(src, dst netip.Addr, id uint16) []byte {
	hdr, proto := header.IPv4MinimumSize, uint8(header.ICMPv4ProtocolNumber)
	if dst.Is6() {
		hdr, proto = header.IPv6MinimumSize, uint8(header.ICMPv6ProtocolNumber)
	}
	if o.UDP != 0 {
		proto = uint8(header.UDPProtocolNumber)
	}
	b := make([]byte, hdr+8+o.Size)
	if dst.Is6() {
		header.IPv6(b).Encode(&header.IPv6Fields{PayloadLength: uint16(8 + o.Size), TransportProtocol: header.ICMPv6ProtocolNumber,
			HopLimit: uint8(o.TTL), SrcAddr: fromIP(src), DstAddr: fromIP(dst)})
		b[6] = proto
	} else {
		f := header.IPv4Fields{TotalLength: uint16(len(b)), ID: id, TTL: uint8(o.TTL), Protocol: proto, SrcAddr: fromIP(src), DstAddr: fromIP(dst)}
		if o.DF {
			f.Flags = header.IPv4FlagDontFragment
		}
		header.IPv4(b).Encode(&f)
		packet.SetIPv4Checksum(b[:hdr])
	}
	t := b[hdr:]
	for i := range t[8:] {
		t[8+i] = 'a' + byte(i%26)
	}
	if o.UDP != 0 {
		binary.BigEndian.PutUint16(t, id)
		binary.BigEndian.PutUint16(t[2:], o.UDP)
		binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
	} else {
		t[0] = byte(header.ICMPv4Echo)
		if dst.Is6() {
			t[0] = byte(header.ICMPv6EchoRequest)
		}
		binary.BigEndian.PutUint16(t[4:], id)
		binary.BigEndian.PutUint16(t[6:], 1)
	}
	p := packet.New()
	p.Load(b)
	p.Parse()
	p.PutTransportChecksum()
	return append([]byte(nil), p.Data...)
}

// answers tells whether p answers the probe with this id.
func answers(p *packet.Packet, id, udpPort uint16) (a Answer, ok bool) {
	t := p.L4Bytes()
	isICMP := !p.V6 && p.Proto == packet.ProtoICMP || p.V6 && p.Proto == packet.ProtoICMPv6
	if !isICMP || len(t) < 8 {
		return a, false
	}
	a = Answer{From: p.Src().IP(), Type: t[0], Code: t[1], TTL: p.TTL()}
	if p.IsICMPError() {
		q, whole := p.Quote()
		if !whole {
			return a, false
		}
		in := q.L4Bytes()
		switch {
		case udpPort != 0:
			ok = q.Proto() == uint8(header.UDPProtocolNumber) && len(in) >= 2 && binary.BigEndian.Uint16(in) == id
		default:
			ok = q.Proto() == p.Proto && len(in) >= 6 && binary.BigEndian.Uint16(in[4:]) == id
		}
	} else if udpPort == 0 {
		reply := byte(header.ICMPv4EchoReply)
		if p.V6 {
			reply = byte(header.ICMPv6EchoReply)
		}
		ok = t[0] == reply && binary.BigEndian.Uint16(t[4:]) == id
		a.Reply = ok
	}
	if ok {
		a.Datagram = append([]byte(nil), p.Data...)
	}
	return a, ok
}
