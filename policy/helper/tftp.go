package helper

import (
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/policy/nat"
	"github.com/moat-router/moat/stack/packet"
)

// tftp expects the answer to a read or write request from a port that the server chooses (RFC 1350 4). The payload holds
// no address: nothing is rewritten.
func tftp(k *call) complaint {
	b := k.p.L4Bytes()
	if len(b) < 10 || b[8] != 0 || b[9] != 1 && b[9] != 2 {
		return ""
	}
	reply := k.c.Tuple(conntrack.Reply)
	e := k.expectation(reply.Src, reply.Dst, packet.ProtoUDP, reply.DstPort)
	if k.translated() {
		e.Dir, e.SavedPort, e.Fn = conntrack.Reply, k.c.Tuple(conntrack.Original).SrcPort, nat.FollowMaster
	}
	return k.enter(e)
}
