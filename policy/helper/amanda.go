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
func amanda(k *call) complaint {
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
	orig := k.c.Tuple(conntrack.Original)
	for _, s := range amandaStreams {
		b = k.p.L4Bytes() // a rewrite may have moved what is behind it
		stop = min(stop, len(b))
		at := bytes.Index(b[start:stop], []byte(s))
		if at < 0 {
			continue
		}
		at += start + len(s)
		field := b[at:min(at+5, stop)]
		v, rest := decimal(field)
		n := len(field) - len(rest)
		port := uint16(v)
		if port == 0 || n > 5 {
			break
		}
		e := k.expectation(orig.Src, orig.Dst, packet.ProtoTCP, port)
		if !k.translated() {
			if why := k.enter(e); why != "" {
				return why
			}
			continue
		}
		if port = k.enterTranslated(e, conntrack.Original); port == 0 {
			return "all ports in use"
		}
		var buf [8]byte
		if why := k.rewrite(e, k.p.L4+at, n, strconv.AppendUint(buf[:0], uint64(port), 10)); why != "" {
			return why
		}
	}
	return ""
}
