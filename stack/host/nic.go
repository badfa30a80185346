package host

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// nic is the link endpoint of one interface: gVisor's side of the ring.
type nic struct {
	s    *Stack
	mtu  atomic.Uint32
	disp stack.NetworkDispatcher
	tx   *transmitter // of a Host; nil: the ring
}

var (
	_ stack.LinkEndpoint = (*nic)(nil)
	_ stack.GSOEndpoint  = (*nic)(nil)
)

// WritePackets copies into the ring or, of a Host, into the link. It never fails: gVisor panics on errors that it does not know.
func (n *nic) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		if n.s.mayLeave(pkt) {
			n.leave(pkt.AsSlices(), offload(pkt))
		}
	}
	return pkts.Len(), nil
}

// mayLeave keeps back what the router makes itself: every ICMP message but an echo request from a socket.
func (s *Stack) mayLeave(pkt *stack.PacketBuffer) bool {
	if s.cfg.Answer {
		return true
	}
	t := pkt.TransportHeader().Slice()
	switch pkt.TransportProtocolNumber {
	case header.ICMPv4ProtocolNumber:
		return len(t) > 0 && t[0] == byte(header.ICMPv4Echo)
	case header.ICMPv6ProtocolNumber:
		return len(t) > 0 && t[0] == byte(header.ICMPv6EchoRequest)
	}
	return true
}

// Capabilities says that checksums of what arrives are verified: by Deliver, since gVisor cannot be told of a single
// packet that its checksum is still to be filled in.
func (n *nic) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityRXChecksumOffload }

// The rest of stack.LinkEndpoint: a link without addresses, headers or goroutines.
func (n *nic) MTU() uint32                             { return n.mtu.Load() }
func (n *nic) SetMTU(mtu uint32)                       { n.mtu.Store(mtu) }
func (n *nic) MaxHeaderLength() uint16                 { return 0 }
func (n *nic) LinkAddress() tcpip.LinkAddress          { return "" }
func (n *nic) SetLinkAddress(tcpip.LinkAddress)        {}
func (n *nic) Attach(d stack.NetworkDispatcher)        { n.disp = d }
func (n *nic) IsAttached() bool                        { return n.disp != nil }
func (n *nic) Wait()                                   {}
func (n *nic) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (n *nic) AddHeader(*stack.PacketBuffer)           {}
func (n *nic) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (n *nic) Close()                                  {}
func (n *nic) SetOnCloseAction(func())                 {}
