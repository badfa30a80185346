package tun

import (
	"encoding/binary"
	"testing"

	"github.com/moat-router/moat/stack/packet"
)

// header packs a struct virtio_net_hdr.
func header(flags, gso byte, hdrLen, size, start, off uint16) []byte {
	b := []byte{flags, gso, 0, 0, 0, 0, 0, 0, 0, 0}
	for i, v := range []uint16{hdrLen, size, start, off} {
		binary.NativeEndian.PutUint16(b[2+2*i:], v)
	}
	return b
}

// tcpLike is n bytes whose byte at l4+12 says doff (in words), as a TCP header's.
func tcpLike(n, l4, doff int) []byte {
	b := make([]byte, n)
	if l4+12 < n {
		b[l4+12] = byte(doff << 4)
	}
	return b
}

func TestVirtioHeaderToOffload(t *testing.T) {
	t.Parallel()
	tests := []struct {
		claim string
		hdr   []byte
		data  []byte
		want  packet.Offload
		ok    bool
	}{
		{"plain datagram", header(0, 0, 0, 0, 0, 0), make([]byte, 28), packet.Offload{}, true},
		{"DATA_VALID is a good checksum", header(2, 0, 0, 0, 0, 0), make([]byte, 28), packet.Offload{CsumGood: true}, true},
		{"NEEDS_CSUM", header(1, 0, 0, 0, 20, 6), make([]byte, 28), packet.Offload{NeedsCsum: true, CsumStart: 20, CsumOff: 6}, true},
		{"checksum field ends with the datagram", header(1, 0, 0, 0, 20, 6), make([]byte, 27), packet.Offload{}, false},
		{"checksum field overflows 16 bits", header(1, 0, 0, 0, 0xffff, 0xffff), make([]byte, 100), packet.Offload{}, false},
		{"TSO4: hdr_len of the kernel is a hint only", header(1, 1, 9999, 1448, 20, 16), tcpLike(3000, 20, 8),
			packet.Offload{GSO: packet.GSOTCPv4, GSOSize: 1448, HdrLen: 52, NeedsCsum: true, CsumStart: 20, CsumOff: 16}, true},
		{"TSO6 with CWR", header(1, 4|0x80, 60, 1428, 40, 16), tcpLike(3000, 40, 5),
			packet.Offload{GSO: packet.GSOTCPv6, ECN: true, GSOSize: 1428, HdrLen: 60, NeedsCsum: true, CsumStart: 40, CsumOff: 16}, true},
		{"USO", header(1, 5, 28, 1000, 20, 6), make([]byte, 3028),
			packet.Offload{GSO: packet.GSOUDP, GSOSize: 1000, HdrLen: 28, NeedsCsum: true, CsumStart: 20, CsumOff: 6}, true},
		{"super-segment without NEEDS_CSUM", header(0, 1, 52, 1448, 20, 16), tcpLike(3000, 20, 8), packet.Offload{}, false},
		{"gso_size 0", header(1, 1, 52, 0, 20, 16), tcpLike(3000, 20, 8), packet.Offload{}, false},
		{"TCP data offset below 5", header(1, 1, 52, 1448, 20, 16), tcpLike(3000, 20, 4), packet.Offload{}, false},
		{"TCP header longer than the datagram", header(1, 1, 52, 1448, 20, 16), tcpLike(45, 20, 15), packet.Offload{}, false},
		{"TCP checksum at UDP's place", header(1, 1, 52, 1448, 20, 6), tcpLike(3000, 20, 8), packet.Offload{}, false},
		{"USO of TCP's checksum", header(1, 5, 28, 1000, 20, 16), make([]byte, 3028), packet.Offload{}, false},
		{"USO with ECN", header(1, 5|0x80, 28, 1000, 20, 6), make([]byte, 3028), packet.Offload{}, false},
		{"UFO, which nobody asked for", header(1, 3, 28, 1000, 20, 6), make([]byte, 3028), packet.Offload{}, false},
		{"ECN alone", header(0, 0x80, 0, 0, 0, 0), make([]byte, 28), packet.Offload{}, false},
		{"empty datagram", header(1, 1, 0, 1, 0, 16), nil, packet.Offload{}, false},
	}
	p := packet.New()
	for _, tt := range tests {
		p.Load(tt.data)
		ok := decode(tt.hdr, p)
		if ok != tt.ok || ok && p.Offload != tt.want {
			t.Errorf("%s: %v %+v, want %v %+v", tt.claim, ok, p.Offload, tt.ok, tt.want)
		}
		if !ok || p.CsumGood {
			continue
		}
		back := make([]byte, hdrLen)
		encode(back, &p.Offload)
		if want := append(header(0, 0, 0, 0, 0, 0)[:0], tt.hdr...); want != nil {
			binary.NativeEndian.PutUint16(want[2:], p.HdrLen)
			if string(back) != string(want) {
				t.Errorf("%s: written back as %x, want %x", tt.claim, back, want)
			}
		}
	}
}

func FuzzVirtioHeader(f *testing.F) {
	f.Add(header(1, 1, 52, 1448, 20, 16), tcpLike(3000, 20, 8))
	f.Add(header(1, 5, 28, 1000, 20, 6), make([]byte, 3028))
	p := packet.New()
	f.Fuzz(func(t *testing.T, hdr, data []byte) {
		if len(hdr) < hdrLen || len(data) > packet.MaxData {
			return
		}
		p.Load(data)
		if !decode(hdr, p) {
			return
		}
		if p.NeedsCsum && int(p.CsumStart)+int(p.CsumOff)+2 > len(data) {
			t.Errorf("checksum field outside of %d bytes: %+v", len(data), p.Offload)
		}
		if p.GSO != packet.GSONone && (int(p.HdrLen) > len(data) || p.GSOSize == 0 || !p.NeedsCsum) {
			t.Errorf("super-segment of %d bytes: %+v", len(data), p.Offload)
		}
	})
}
