package helper

import (
	"bytes"
	"strconv"
	"time"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// amandaTimeout is how long the request may wait for its answer (master_timeout): backups take their time to begin.
const amandaTimeout = 300 * time.Second

var amandaStreams = []string{"DATA ", "MESG ", "INDEX ", "STATE "}

// amanda is nf_conntrack_amanda and nf_nat_amanda: the client answers the server's request with
// "CONNECT DATA port MESG port INDEX port", and the server then connects to these ports.
func amanda(k *call) (why complaint) {
	if k.ref.Info.Dir() == conntrack.Original {
		return ""
	}
	k.t.Refresh(k.now, k.c, amandaTimeout)
	const word = "CONNECT "
	b := k.p.L4Bytes()
	if len(b) <= 8 {
		return ""
	}
	start := bytes.Index(b[8:], []byte(word))
	if start < 0 {
		return ""
	}
	start += 8 + len(word)
	stop := bytes.IndexByte(b[start:], '\n')
	if stop < 0 {
		return ""
	}
	stop += start
	var failed complaint
	for _, word := range amandaStreams {
		b = k.p.L4Bytes() // a rewrite may have moved what is behind it, but not where Linux stops to look
		at := bytes.Index(b[start:min(stop, len(b))], []byte(word))
		if at < 0 {
			continue
		}
		at += start + len(word)
		last := min(at+5, stop)
		if last > len(b) {
			break
		}
		v, rest := decimal(b[at:last])
		if uint16(v) == 0 {
			break
		}
		why = k.stream(at, last-at-len(rest), uint16(v)) // of several the last decides, where they are translated
		if why != "" && !k.translated() {
			failed = why
		}
	}
	if failed != "" {
		return failed
	}
	return why
}

// stream expects the server at a port whose n digits stand at offset at of the transport header.
func (k *call) stream(at, n int, port uint16) complaint {
	orig := k.c.Tuple(conntrack.Original)
	e := k.expectation(orig.Src, orig.Dst, packet.ProtoTCP, port)
	if !k.translated() {
		return k.enter(e)
	}
	if port = k.enterTranslated(e, conntrack.Original); port == 0 {
		return allPortsInUse
	}
	var buf [8]byte
	return k.rewrite(e, k.p.L4+at, n, strconv.AppendUint(buf[:0], uint64(port), 10))
}
