package lab_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/moat-router/moat/integration/lab"
)

// RFC 791 3.2: the fragments of a datagram have its identification, which others between the same ends have not, and
// Don't Fragment is not set on what has been cut.
func TestFragmentsOfAHostBelongTogether(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, n *lab.Net) {
		n.Network("wire")
		a := n.Host("a", "wire", "10.0.0.1/24")
		b := n.Host("b", "wire", "10.0.0.2/24").Serve("echo", "udp", 7).Get()
		c, err := a.Get().Dial("udp", "b:7")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, size := range []int{4000, 100, 4000} {
			if err := exchange(c, size); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.Get().Ping(netip.MustParseAddr("10.0.0.2"), lab.Probe{Size: 100}); err != nil {
			t.Error(err)
		}
		for from, list := range map[string][][]byte{"a": data(b.Received()), "b": data(a.Get().Received())} {
			ids, cut, whole := map[uint16]int{}, 0, 0
			for _, d := range list {
				if d[9] != 17 {
					continue
				}
				flags := binary.BigEndian.Uint16(d[6:])
				if flags&0x3fff == 0 {
					whole++
					if flags != 0x4000 {
						t.Errorf("%s: Don't Fragment is not set on a datagram that fits", from)
					}
					continue
				}
				cut++
				ids[binary.BigEndian.Uint16(d[4:])]++
				if flags&0x4000 != 0 {
					t.Errorf("%s: Don't Fragment is set on a fragment", from)
				}
			}
			if cut != 6 || whole != 1 || len(ids) != 2 || ids[0] != 0 {
				t.Errorf("%s: %d fragments and %d datagrams, identifications %v; want two of three fragments each", from, cut, whole, ids)
			}
		}
	})
}
