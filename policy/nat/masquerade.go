package nat

import (
	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// OIFChanged tells whether a masqueraded connection is about to leave by another interface than the one whose address
// it was given (nf_nat_oif_changed): it then dies, and the next packet begins anew.
func OIFChanged(ref conntrack.Ref, postrouting bool, out int) bool {
	i := ref.Conn.MasqIndex()
	return i != 0 && postrouting && ref.Info.Dir() == conntrack.Original && i != out
}

// MasqueradeDown ends the connections that were masqueraded to an interface that has gone down (masq_device_event).
func MasqueradeDown(t *conntrack.Table, now packet.Time, dev int) {
	t.Range(func(c *conntrack.Conn) bool {
		if c.MasqIndex() == dev {
			t.Kill(now, c)
		}
		return true
	})
}

// MasqueradeAddrGone ends the connections that were masqueraded to an address that was deleted (masq_inet_event).
func MasqueradeAddrGone(t *conntrack.Table, now packet.Time, dev int, a packet.Addr) {
	t.Range(func(c *conntrack.Conn) bool {
		if c.MasqIndex() == dev && c.Tuple(conntrack.Reply).Dst == a {
			t.Kill(now, c)
		}
		return true
	})
}
