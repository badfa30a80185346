package nat

import (
	"math/rand/v2"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// FollowMaster is the Fn of an expectation whose connection is to be translated as its master was (nf_nat_follow_master):
// it comes from where the master's answers come from, and goes to where the master was sent from, at the port that the
// helper saved.
//
// For an FTP client 192.168.1.10 behind 1.2.3.1 whose PORT command was rewritten, the server's connection to
// 1.2.3.1:SavedPort as the server sees it goes to 192.168.1.10 and the port that the client listens at.
func FollowMaster(t *conntrack.Table, now packet.Time, c *conntrack.Conn, e *conntrack.Expect, rng *rand.Rand) {
	k := e.Master().Tuple(e.Dir.Other())
	r := Range{Flags: MapIPs, MinAddr: k.Dst, MaxAddr: k.Dst}
	Setup(t, now, c, &r, ManipSrc, rng)
	r = Range{Flags: MapIPs | ProtoSpecified, MinAddr: k.Src, MaxAddr: k.Src, MinPort: e.SavedPort, MaxPort: e.SavedPort}
	Setup(t, now, c, &r, ManipDst, rng)
}
