package helper

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// dccCommands are those that announce an address and a port on which the client listens.
var dccCommands = []string{"SEND ", "CHAT ", "MOVE ", "TSEND ", "SCHAT "}

const (
	maxIRC = 4095
	// minDCC is the shortest rest of a message that can still hold " :\1DCC SEND t AAAAAAAA P\1\n".
	minDCC = 26
)

// irc is nf_conntrack_irc and nf_nat_irc: a client that offers a file or a chat tells in a PRIVMSG where it listens.
func irc(k *call) complaint {
	if k.ref.Info != conntrack.Established || k.p.V6 {
		return ""
	}
	off, ok := k.p.PayloadOff()
	if !ok || off >= len(k.p.Data) {
		return ""
	}
	b := k.p.Data[off:]
	b = b[:min(len(b), maxIRC)]
	i := 0
	for i < len(b)-10 && (b[i] == ' ' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	if i < len(b)-10 {
		if !equalFold(b[i:i+8], "PRIVMSG ") {
			return ""
		}
		i += 8
	}
	for i < len(b)-minDCC {
		if b[i] != ' ' || b[i+1] != ':' {
			i++
			continue
		}
		if i += 2; !bytes.HasPrefix(b[i:], []byte("\x01DCC ")) {
			return ""
		}
		i += 5
		for _, c := range dccCommands {
			if bytes.HasPrefix(b[i:], []byte(c)) {
				at, n, addr, port, ok := readDCC(b, i+len(c))
				if !ok || port == 0 || !k.own(addr) {
					return "" // an address that is not the client's is forged: it would have others connect to a third
				}
				return k.dcc(off+at, n, port)
			}
		}
	}
	return ""
}

// own tells whether addr is the client's, before or after translation.
func (k *call) own(addr packet.Addr) bool {
	return addr == k.c.Tuple(conntrack.Original).Src || addr == k.c.Tuple(conntrack.Reply).Dst
}

func (k *call) dcc(off, n int, port uint16) complaint {
	reply := k.c.Tuple(conntrack.Reply)
	e := k.expectation(packet.Addr{}, reply.Dst, packet.ProtoTCP, port)
	if !k.translated() {
		return k.enter(e)
	}
	if port = k.enterTranslated(e, conntrack.Reply); port == 0 {
		return allPortsInUse
	}
	var buf [32]byte
	text := strconv.AppendUint(buf[:0], uint64(binary.BigEndian.Uint32(reply.Dst[12:])), 10)
	text = strconv.AppendUint(append(text, ' '), uint64(port), 10)
	return k.rewrite(e, off, n, text)
}

// readDCC reads "name ADDRESS PORT" from b[i:]: the address is a decimal number (parse_dcc). A newline must follow
// somewhere, or the number might go on in the next segment.
func readDCC(b []byte, i int) (at, n int, addr packet.Addr, port uint16, ok bool) {
	for ; ; i++ {
		if i > len(b)-12 {
			return
		}
		if b[i] == ' ' {
			break
		}
	}
	i++
	if bytes.IndexByte(b[i:], '\n') < 0 {
		return
	}
	v, rest := decimal(b[i:])
	rest = bytes.TrimLeft(rest, " ")
	w, rest := decimal(rest)
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], uint32(v))
	return i, len(b) - i - len(rest), packet.Addr4(four[:]), uint16(w), true
}
