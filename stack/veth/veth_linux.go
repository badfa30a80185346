package veth

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/netns"
	"github.com/moat-router/moat/stack/packet"
)

// Link is the near end of a pair. It is a link.Link.
type Link struct {
	name     string // of the far end
	mtu      int
	near     *netns.NS
	nearName string
	index    int      // of the near end
	socket   *os.File // at the near end
	raw      syscall.RawConn
	far      [8]byte // hardware address, as socket addresses have it
	closed   atomic.Bool
}

var _ link.Link = (*Link)(nil)

// serial makes names and indexes for near ends, of which many may live in one namespace.
var serial atomic.Uint32

// nearIndex is more than the kernel gives by itself to the interfaces of a host.
const nearIndex = 100000

// Open makes a pair: the far end, down and without addresses, is in one namespace under this name, the near end in
// another, under a name that does not matter.
func Open(near, far *netns.NS, name string, mtu int) (l *Link, err error) {
	number := serial.Add(1)
	l = &Link{name: name, mtu: mtu, near: near, nearName: fmt.Sprintf("m%d", number)}
	defer func() {
		if err != nil {
			err = fmt.Errorf("veth %s: %w", name, netns.Explain(err))
			l.Close()
			l = nil
		}
	}()
	h, err := netns.Handle(near.Fd())
	if err != nil {
		return l, err
	}
	defer h.Close()
	// Ends in two namespaces could have the same index. Then the kernel would take neither for the other's, and let up to a
	// second pass before it believes that there is a carrier.
	pair := netlink.NewVeth(netlink.LinkAttrs{Name: l.nearName, MTU: mtu, Index: nearIndex + int(number)})
	pair.PeerName, pair.PeerMTU, pair.PeerNamespace = name, uint32(mtu), netlink.NsFd(far.Fd())
	if err := h.LinkAdd(pair); err != nil {
		return l, err
	}
	dev, err := h.LinkByName(l.nearName)
	if err != nil {
		return l, err
	}
	l.index = dev.Attrs().Index
	if err := l.furnishFar(far); err != nil {
		return l, err
	}
	near.Sysctl("net.ipv6.conf."+l.nearName+".disable_ipv6", "1") // where it may be: the near end has nothing to say
	if err := h.LinkSetUp(dev); err != nil {
		return l, err
	}
	return l, near.Do(l.listen)
}

// furnishFar makes the far end a device that asks for no neighbours, and finds its hardware address.
func (l *Link) furnishFar(far *netns.NS) error {
	h, err := netns.Handle(far.Fd())
	if err != nil {
		return err
	}
	defer h.Close()
	dev, err := h.LinkByName(l.name)
	if err != nil {
		return err
	}
	copy(l.far[:], dev.Attrs().HardwareAddr)
	if err := h.LinkSetARPOff(dev); err != nil {
		return err
	}
	return far.Do(func() error { return plain(l.name) })
}

// plain switches a device's offloads off. What a device does not have cannot be switched off, and need not.
func plain(dev string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for _, command := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_SGRO} {
		value := struct{ command, data uint32 }{command, 0}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}{data: unsafe.Pointer(&value)}
		copy(request.name[:], dev)
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
		if e != 0 && e != unix.EOPNOTSUPP {
			return fmt.Errorf("offloads of %s: %w", dev, e)
		}
	}
	return nil
}

func bigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// listen opens the socket at the near end, in whose namespace the calling thread is.
func (l *Link) listen() error {
	if err := plain(l.nearName); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err == nil { // the near end has a queue only after the kernel has taken notice of the far end's carrier, some time later
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	}
	if err == nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer) // as much as may be
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: l.index})
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	l.socket = os.NewFile(uintptr(fd), "veth")
	l.raw, err = l.socket.SyscallConn()
	return err
}

// socketBuffer is for some hundred datagrams that wait to be read, in bytes.
const socketBuffer = 4 << 20

// Name is that of the far end when it was made.
func (l *Link) Name() string { return l.name }

// MTU in bytes.
func (l *Link) MTU() int { return l.mtu }

// Queues is 1.
func (l *Link) Queues() int { return 1 }

// Offloads are none.
func (l *Link) Offloads() link.Offloads { return link.Offloads{} }

// Serve reads until Close, or until the far end's namespace is gone.
func (l *Link) Serve(_ int, h func([]*packet.Packet)) error {
	batch := []*packet.Packet{packet.New()}
	p := batch[0]
	var failed error
	err := l.raw.Read(func(fd uintptr) bool {
		for {
			p.Reset()
			n, from, err := unix.Recvfrom(int(fd), p.Buffer(), 0)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case errors.Is(err, unix.EAGAIN):
				return false
			case err != nil:
				failed = err
				return true
			}
			if a, ok := from.(*unix.SockaddrLinklayer); ok && (a.Protocol == bigEndian(unix.ETH_P_IP) || a.Protocol == bigEndian(unix.ETH_P_IPV6)) {
				p.SetLen(n)
				h(batch)
			}
		}
	})
	switch {
	case l.closed.Load() || errors.Is(err, os.ErrClosed):
		return link.ErrClosed
	case errors.Is(failed, unix.ENETDOWN), errors.Is(failed, unix.ENXIO):
		return fmt.Errorf("veth %s: the device is gone", l.name)
	}
	return fmt.Errorf("veth %s: %w", l.name, errors.Join(failed, err))
}

// Send writes the batch.
func (l *Link) Send(_ int, batch []*packet.Packet) (sent int, err error) {
	to := unix.SockaddrLinklayer{Ifindex: l.index, Halen: 6, Addr: l.far}
	for _, p := range batch {
		to.Protocol = bigEndian(unix.ETH_P_IP)
		if p.Data[0]>>4 == 6 {
			to.Protocol = bigEndian(unix.ETH_P_IPV6)
		}
		var e error
		if err := l.raw.Write(func(fd uintptr) bool {
			e = unix.Sendto(int(fd), p.Data, 0, &to)
			return true
		}); err != nil {
			return sent, link.ErrClosed
		}
		switch {
		case e == nil:
			sent++
		case errors.Is(e, unix.ENETDOWN):
			return sent, link.ErrDown
		case errors.Is(e, unix.EAGAIN), errors.Is(e, unix.ENOBUFS):
			return sent, link.ErrFull
		default:
			return sent, fmt.Errorf("veth %s: send: %w", l.name, e)
		}
	}
	return sent, nil
}

// Close ends Serve and removes the pair. It may be called twice.
func (l *Link) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	var errs []error
	if l.socket != nil {
		errs = append(errs, l.socket.Close())
	}
	h, err := netns.Handle(l.near.Fd())
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	defer h.Close()
	dev, err := h.LinkByName(l.nearName)
	if err == nil {
		err = h.LinkDel(dev)
	}
	if !errors.As(err, new(netlink.LinkNotFoundError)) { // else it went with the far end's namespace
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
