package natcheck

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// The part of STUN (RFC 8489, RFC 5780) that it takes to measure a NAT: Binding requests with CHANGE-REQUEST, and their
// answers with XOR-MAPPED-ADDRESS. IPv4.

// Message is a STUN message. Its zero value is a Binding request that asks for nothing special.
type Message struct {
	Response    bool
	Transaction [12]byte
	// ChangeAddr and ChangePort ask for an answer from another address or port (RFC 5780 7.2).
	ChangeAddr, ChangePort bool
	// Mapped is whom the server saw; of answers.
	Mapped netip.AddrPort
}

const (
	bindingRequest  = 0x0001
	bindingResponse = 0x0101
	magicCookie     = 0x2112a442
	stunHeader      = 20

	attrChangeRequest = 0x0003
	attrXORMapped     = 0x0020
	changeAddr        = 4
	changePort        = 2
	familyV4          = 1
)

var errNotSTUN = errors.New("not a STUN Binding message")

// Append appends the message.
func (m *Message) Append(b []byte) []byte {
	be := binary.BigEndian
	start := len(b)
	typ := uint16(bindingRequest)
	if m.Response {
		typ = bindingResponse
	}
	b = be.AppendUint16(b, typ)
	b = be.AppendUint16(b, 0)
	b = be.AppendUint32(b, magicCookie)
	b = append(b, m.Transaction[:]...)
	if m.ChangeAddr || m.ChangePort {
		var flags uint32
		if m.ChangeAddr {
			flags |= changeAddr
		}
		if m.ChangePort {
			flags |= changePort
		}
		b = be.AppendUint16(b, attrChangeRequest)
		b = be.AppendUint16(b, 4)
		b = be.AppendUint32(b, flags)
	}
	if m.Mapped.IsValid() {
		a := m.Mapped.Addr().As4()
		b = be.AppendUint16(b, attrXORMapped)
		b = be.AppendUint16(b, 8)
		b = be.AppendUint16(b, familyV4)
		b = be.AppendUint16(b, m.Mapped.Port()^magicCookie>>16)
		b = be.AppendUint32(b, be.Uint32(a[:])^magicCookie)
	}
	be.PutUint16(b[start+2:], uint16(len(b)-start-stunHeader))
	return b
}

// ParseMessage reads one; attributes that it does not know are skipped.
func ParseMessage(b []byte) (m Message, err error) {
	be := binary.BigEndian
	if len(b) < stunHeader || be.Uint32(b[4:]) != magicCookie || int(be.Uint16(b[2:])) != len(b)-stunHeader || len(b)%4 != 0 {
		return m, errNotSTUN
	}
	switch be.Uint16(b) {
	case bindingRequest:
	case bindingResponse:
		m.Response = true
	default:
		return m, errNotSTUN
	}
	copy(m.Transaction[:], b[8:])
	for b = b[stunHeader:]; len(b) >= 4; {
		typ, n := be.Uint16(b), int(be.Uint16(b[2:]))
		v := b[4:]
		if n > len(v) {
			return m, errNotSTUN
		}
		switch {
		case typ == attrChangeRequest && n == 4:
			m.ChangeAddr, m.ChangePort = v[3]&changeAddr != 0, v[3]&changePort != 0
		case typ == attrXORMapped && n == 8 && v[1] == familyV4:
			var a [4]byte
			be.PutUint32(a[:], be.Uint32(v[4:])^magicCookie)
			m.Mapped = netip.AddrPortFrom(netip.AddrFrom4(a), be.Uint16(v[2:])^magicCookie>>16)
		}
		b = v[(n+3)&^3:]
	}
	return m, nil
}
