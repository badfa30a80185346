package difftest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
)

// Types of SCTP chunks (RFC 9260 3.2).
const (
	sctpData             = 0
	sctpInit             = 1
	sctpInitAck          = 2
	sctpSack             = 3
	sctpHeartbeat        = 4
	sctpHeartbeatAck     = 5
	sctpAbort            = 6
	sctpShutdown         = 7
	sctpShutdownAck      = 8
	sctpError            = 9
	sctpCookieEcho       = 10
	sctpCookieAck        = 11
	sctpShutdownComplete = 14
)

// sctpEnd is one end of an association, with the addresses and ports that it sees.
type sctpEnd struct {
	dev          string
	v6           bool
	src, dst     string
	sport, dport uint16
	tag          uint32 // what the other end puts into its packets
}

// association is an SCTP association from its beginning to its end, with chunks on the way that do not belong there.
func (g *gen) association(x *session) error {
	f := g.newFlow()
	c := &sctpEnd{dev: f.dev.name, v6: f.v6, src: f.src, dst: f.dst, sport: uint16(f.sport), dport: uint16(f.dport), tag: 0x11111111}
	before := len(g.out)
	first := sctpInit
	if g.chance(g.oddities) {
		first = pick(g, sctpData, sctpCookieEcho, sctpHeartbeat, sctpAbort, sctpShutdownAck, sctpInitAck)
	}
	if err := g.sctp(x, c, 0, first); err != nil || len(g.out) == before {
		return err
	}
	o := g.out[len(g.out)-1]
	if o.proto != 132 {
		return nil // the router answered it
	}
	sport, err1 := strconv.Atoi(o.sport)
	dport, err2 := strconv.Atoi(o.dport)
	if err1 != nil || err2 != nil {
		return nil
	}
	s := &sctpEnd{dev: o.dev, v6: o.v6, src: o.dst, dst: o.src, sport: uint16(dport), dport: uint16(sport), tag: 0x22222222}
	script := []struct {
		from, to *sctpEnd
		chunk    int
	}{{s, c, sctpInitAck}, {c, s, sctpCookieEcho}, {s, c, sctpCookieAck}, {c, s, sctpData}, {s, c, sctpSack}, {c, s, sctpHeartbeat}, {s, c, sctpHeartbeatAck},
		{c, s, sctpShutdown}, {s, c, sctpShutdownAck}, {c, s, sctpShutdownComplete}}
	for at := 0; at < len(script); {
		w := script[at]
		if g.chance(70) {
			at++
		} else {
			if g.chance(50) {
				w.from, w.to = w.to, w.from
			}
			w.chunk = pick(g, sctpData, sctpInit, sctpInitAck, sctpHeartbeat, sctpHeartbeatAck, sctpAbort, sctpShutdown, sctpShutdownAck, sctpError, sctpCookieEcho, sctpCookieAck,
				sctpShutdownComplete)
			if g.chance(20) {
				return nil
			}
		}
		tag := w.to.tag
		if w.chunk == sctpInit {
			tag = 0
		}
		if g.chance(g.oddities / 2) {
			tag = pick(g, 0, w.from.tag, 0x33333333)
		}
		if err := g.sctp(x, w.from, tag, w.chunk); err != nil {
			return err
		}
	}
	return nil
}

// sctp sends a packet with a chunk, or with some more.
func (g *gen) sctp(x *session, e *sctpEnd, tag uint32, chunk int) error {
	b := binary.BigEndian.AppendUint16(nil, e.sport)
	b = binary.BigEndian.AppendUint16(b, e.dport)
	b = binary.BigEndian.AppendUint32(b, tag)
	b = append(b, 0, 0, 0, 0)
	b = appendChunk(b, chunk, e.tag)
	if chunk != sctpInit && chunk != sctpInitAck && chunk != sctpShutdownComplete && g.chance(20) {
		b = appendChunk(b, pick(g, sctpData, sctpSack, sctpHeartbeat, sctpError, sctpAbort), e.tag)
	}
	if g.chance(g.oddities / 4) {
		b = b[:pick(g, 8, 11, 12, 14, len(b)-2)]
	}
	if len(b) >= 12 {
		binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
		if g.chance(g.oddities / 4) {
			b[8]++
		}
	}
	return g.inject(x, e.dev, fmt.Sprintf("%s %s=132 / raw %s", g.plainLayer(e.v6, e.src, e.dst), map[bool]string{false: "proto", true: "nh"}[e.v6], hex.EncodeToString(b)))
}

// plainLayer is an IP layer without extension headers.
func (g *gen) plainLayer(v6 bool, src, dst string) string {
	if v6 {
		return ip(true, src, dst)
	}
	g.ipid++
	return ip(false, src, dst, fmt.Sprintf("id=%#x", 0x1000+g.ipid))
}

func appendChunk(b []byte, chunk int, tag uint32) []byte {
	var v []byte
	switch chunk {
	case sctpInit, sctpInitAck:
		v = binary.BigEndian.AppendUint32(nil, tag)
		v = append(v, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5)
	case sctpData:
		v = append(v, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 'd', 'a', 't', 'a')
	case sctpSack:
		v = append(v, 0, 0, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0)
	case sctpShutdown, sctpCookieEcho, sctpHeartbeat, sctpHeartbeatAck:
		v = append(v, 0, 1, 0, 4)
	}
	flags := byte(0)
	if chunk == sctpData {
		flags = 3
	}
	b = append(b, byte(chunk), flags)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(v)))
	return append(b, v...)
}
