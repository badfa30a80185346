package helper

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/stack/packet"
)

// FuzzFTPLine: what was found lies inside of the line, and writing what was read and reading it again gives the same.
func FuzzFTPLine(f *testing.F) {
	for _, s := range []string{"PORT 192,168,1,10,19,137\r\n", "EPRT |1|192.168.1.10|5001|\r\n", "EPRT |2|fd00:1::10|5001|\r\n",
		"227 (192,168,1,10,19,137)\r\n", "229 Extended (|||5001|)\r\n", "PO", "PORT 4294967296,,,,,1\r"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, v6 bool) {
		own := addr("192.168.1.10")
		if v6 {
			own = addr("fd00:1::10")
		}
		for _, d := range []conntrack.Dir{conntrack.Original, conntrack.Reply} {
			c := command{v6: v6, addr: own}
			found, pat, off, n := readLine(d, []byte(s), &c)
			if found != whole {
				continue
			}
			if off < len(pat.word) || n <= 0 || off+n > len(s) {
				t.Fatalf("%q: %d bytes at %d", s, n, off)
			}
			if c.port == 0 && (pat.form == formEPRT || pat.form == formEPSV) {
				t.Fatalf("%q: port 0", s)
			}
			var buf [80]byte
			text := pat.write(buf[:0], c.addr.Wire(v6), c.port)
			if cap(text) != len(buf) {
				t.Fatalf("%q: %q does not fit", s, text)
			}
			again := command{v6: v6, addr: own}
			line := pat.word + strings.Trim(string(pat.skip), "\x00") + string(text) + string(pat.term) + "\n"
			if f, _, _, m := readLine(d, []byte(line), &again); f != whole || again != c || m != len(text) {
				t.Fatalf("%q was read as %v %d, %q as %v %d (%d bytes of %d)", s, c.addr, c.port, line, again.addr, again.port, m, len(text))
			}
		}
	})
}

// FuzzAddr6: whatever Go reads as an IPv6 address is the same address here, and what is read here lies in the text.
func FuzzAddr6(f *testing.F) {
	for _, s := range []string{"::", "::1", "fd00:1::10", "1:2:3:4:5:6:7:8", "1::1.2.3.4", "1:2:3:4:5:6:7::", "::1.2.3.4:", "0000001::"} {
		f.Add([]byte(s), byte('|'))
	}
	f.Fuzz(func(t *testing.T, b []byte, delim byte) {
		a, n := readAddr6(b, delim)
		if n < 0 || n > len(b) {
			t.Fatalf("%q: %d bytes", b, n)
		}
		want, err := netip.ParseAddr(string(b))
		if err == nil && want.Is6() && want.Zone() == "" && bytes.IndexByte(b, delim) < 0 && (n != len(b) || netip.AddrFrom16(a) != want) {
			t.Fatalf("%q is %v (%d bytes), want %v", b, a, n, want)
		}
	})
}

// FuzzPayload lets each helper read a payload from each side, translated and not, cut at some place into two: nothing
// panics, checksums hold, and no connection expects more than its helper may.
func FuzzPayload(f *testing.F) {
	for i, s := range []string{"PORT 192,168,1,10,19,137\r\n", "\x00\x01f\x00octet\x00", "PRIVMSG bob :\x01DCC SEND f 3232235786 5001\x01\r\n",
		"CONNECT DATA 5001 MESG 5002 INDEX 5003\n", "EPRT |2|fd00:1::10|5001|\r\n", "PRIVMSG bob :\x01DCC SEND TSEND SCHAT  1 2\r\n"} {
		f.Add(s, uint8(i), uint16(0))
		f.Add(s, uint8(i+4), uint16(7))
	}
	f.Fuzz(func(t *testing.T, s string, what uint8, cut uint16) {
		if len(s) > 8000 {
			return
		}
		h := &helpers[what%4]
		v6, translate := what&4 != 0, what&8 != 0
		own, peer, shared, ip := "192.168.1.10", "198.51.100.9", "1.2.3.1", "ip4"
		if v6 {
			own, peer, shared, ip = "fd00:1::10", "2001:db8:9::9", "2001:db8:1::1", "ip6"
		}
		if !translate {
			shared = ""
		}
		x := newPath(t, shared)
		if !translate {
			shared = own
		}
		ends := [2]struct {
			in, head string
			seq      int
		}{{"lan", fmt.Sprintf("%s %s>%s", ip, own, peer), 101}, {"wan", fmt.Sprintf("%s %s>%s", ip, peer, shared), 901}}
		ports := [2]string{fmt.Sprintf("5000>%d", h.Port), fmt.Sprintf("%d>5000", h.Port)}
		if h.Proto == packet.ProtoTCP {
			x.send("lan", ends[0].head+" / tcp "+ports[0]+" S seq=100")
			x.send("wan", ends[1].head+" / tcp "+ports[1]+" SA seq=900 ack=101")
			x.send("lan", ends[0].head+" / tcp "+ports[0]+" A seq=101 ack=901")
		}
		i := int(cut) % (len(s) + 1)
		for _, part := range []string{"\n", s[:i], s[i:], s} {
			for side := range ends {
				e := &ends[side]
				if h.Proto == packet.ProtoTCP {
					x.payload(e.in, fmt.Sprintf("%s / tcp %s A seq=%d ack=%d win=65000 / raw %x", e.head, ports[side], e.seq, ends[1-side].seq, part))
				} else {
					x.payload(e.in, fmt.Sprintf("%s / udp %s / raw %x", e.head, ports[side], part))
				}
				e.seq += len(part)
			}
		}
		if n := len(x.expectations()); n > h.Classes[0].Max {
			t.Fatalf("%d are expected", n)
		}
	})
}
