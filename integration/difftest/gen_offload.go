package difftest

import (
	"regexp"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
)

// extended are extension headers of IPv6.
var extended = regexp.MustCompile(`hbh|dstopt|rt6|frag6`)

// offload is what the sender of a step leaves to its device. Segments are so long that what an ICMP error quotes of the first
// one is what it quotes of all of them.
func (g *gen) offload(pkts []string) (o scenario.Offload) {
	if !g.Offload {
		return o
	}
	if g.chance(70) && !extended.MatchString(strings.Join(pkts, "\n")) {
		o.GSO = pick(g, 1232, 1240, 1372, 1440, 1448, 1452, 1472, 2000)
	}
	o.Partial = g.chance(60)
	return o
}

// bulk is how many bytes a packet carries: n, or so many that it becomes a super-segment.
func (g *gen) bulk(n int) int {
	if g.Offload && g.chance(50) {
		n = pick(g, 1461, 2000, 2896, 4000, 9001, 20000, 60000)
	}
	return n
}
