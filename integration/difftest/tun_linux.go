package difftest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/integration/scenario"
	"github.com/moat-router/moat/stack/packet"
)

// tun is a device whose far end is this process. Forwarding between TUNs is synchronous inside write(2): what a packet
// causes is there when write returns.
type tun struct {
	name string
	fd   int
	buf  []byte
}

// vnetHdr is struct virtio_net_hdr, which stands in front of every packet.
type vnetHdr struct {
	Flags, GSOType                         uint8
	HdrLen, GSOSize, CsumStart, CsumOffset uint16
}

const vnetLen = 10

// The kinds of super-segment in a virtio header (VIRTIO_NET_HDR_GSO_*).
var gsoTypes = map[packet.GSO]uint8{packet.GSOTCPv4: 1, packet.GSOTCPv6: 4, packet.GSOUDP: 5}

const (
	gsoECN    = 0x80
	needsCsum = 1
)

// openTun makes a device. With offload it takes super-segments; without, the kernel cuts them and completes checksums.
func openTun(name string, offload bool) (*tun, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err == nil && offload {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6|unix.TUN_F_TSO_ECN|unix.TUN_F_USO4|unix.TUN_F_USO6)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("TUN %s: %w", name, err)
	}
	return &tun{name, fd, make([]byte, vnetLen+packet.MaxData)}, nil
}

// write lets a packet arrive as o says that its sender left it. One that the driver refuses counts as dropped.
func (t *tun) write(b []byte, o scenario.Offload) error {
	data, m, err := o.Of(b)
	if err != nil {
		return err
	}
	h := vnetHdr{GSOType: gsoTypes[m.GSO], HdrLen: m.HdrLen, GSOSize: m.GSOSize, CsumStart: m.CsumStart, CsumOffset: m.CsumOff}
	if m.NeedsCsum {
		h.Flags = needsCsum
	}
	if m.ECN && m.GSO != packet.GSONone {
		h.GSOType |= gsoECN
	}
	var w bytes.Buffer
	if err := binary.Write(&w, binary.NativeEndian, h); err != nil {
		return err
	}
	w.Write(data)
	_, _ = unix.Write(t.fd, w.Bytes())
	return nil
}

// left is a packet that the kernel sent, with its checksum complete.
type left struct {
	data []byte
	gso  int // bytes of payload in each segment of a super-segment
}

// drain gives what left, without what the kernel says of its own accord.
func (t *tun) drain() (out []left) {
	for {
		n, err := unix.Read(t.fd, t.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n < vnetLen {
			return out
		}
		var h vnetHdr
		if _, err := binary.Decode(t.buf, binary.NativeEndian, &h); err != nil {
			return out
		}
		p := left{data: bytes.Clone(t.buf[vnetLen:n])}
		packet.Offload{NeedsCsum: h.Flags&needsCsum != 0, CsumStart: h.CsumStart, CsumOff: h.CsumOffset}.CompleteChecksum(p.data)
		if h.GSOType != 0 {
			p.gso = int(h.GSOSize)
		}
		if !noise(p.data) {
			out = append(out, p)
		}
	}
}

// noise is IPv6 link-scope multicast from the router itself: MLD, router and neighbour solicitations.
func noise(p []byte) bool {
	return len(p) >= 40 && p[0]>>4 == 6 && p[24] == 0xff && p[25]&15 == 2
}

func sockaddr(addr string, port int) (unix.Sockaddr, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}, nil
	}
	return &unix.SockaddrInet6{Port: port, Addr: a.As16()}, nil
}
