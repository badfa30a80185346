package policy

import (
	"time"

	"github.com/moat-router/moat/stack/packet"
)

// Env is what rules may ask of the router around them. Nothing here allocates on the packet path.
type Env interface {
	// AddrType classifies an address as the FIB does (RTN_*). dev limits the question to one interface
	// (--limit-iface-in/out); nil asks all of them.
	AddrType(v6 bool, a packet.Addr, dev *Dev) AddrType
	// MasqueradeAddr is the source that MASQUERADE takes for p leaving by out (inet_select_addr with the next hop;
	// ipv6_dev_get_saddr).
	MasqueradeAddr(p *Packet, out *Dev) (packet.Addr, bool)
	// RedirectAddr is the address that REDIRECT sends to: the first of the ingress interface (in IPv6 of p's scope);
	// loopback for the router's own packets (in nil).
	RedirectAddr(p *Packet, in *Dev) (packet.Addr, bool)
	// ReversePath tells whether p's source would be reached through the interface it came by (xt_rpfilter).
	ReversePath(p *Packet, how ReversePath) bool
	// PathMTU is the MTU of the route to p's destination, or with reverse to its source (TCPMSS --clamp-mss-to-pmtu).
	PathMTU(p *Packet, reverse bool) int
	// Tee sends a copy of p to a gateway, if oif is not "" through that interface only.
	Tee(p *Packet, gateway packet.Addr, oif string)
	// Trace reports that a traced packet met rule number n of a chain; what is "rule", "return" or "policy" as in the
	// kernel's TRACE lines.
	Trace(p *Packet, t TableID, chain, what string, n int)
	// Log hands a finished line to the log sinks. The bytes are not kept.
	Log(level uint8, line []byte)
	// NFLog is the NFLOG target: group, prefix, and the line as LOG would have printed it.
	NFLog(p *Packet, group uint16, line []byte)
	// Wall is the wall-clock time that corresponds to t (the time match).
	Wall(t packet.Time) time.Time
}

// ReversePath are the options of the rpfilter match.
type ReversePath struct {
	Loose       bool
	ValidMark   bool
	AcceptLocal bool
}

// AddrType is the class of an address, as addrtype names them, with the kernel's numbers (RTN_*).
type AddrType uint8

// The classes.
const (
	AddrUnspec AddrType = iota
	AddrUnicast
	AddrLocal
	AddrBroadcast
	AddrAnycast
	AddrMulticast
	AddrBlackhole
	AddrUnreachable
	AddrProhibit
	AddrThrow
	AddrNAT
	AddrXResolve
)
