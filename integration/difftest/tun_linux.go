package difftest

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// tun is a device whose far end is this process. Forwarding between TUNs is synchronous inside write(2): what a packet
// causes is there when write returns.
type tun struct {
	name string
	fd   int
	buf  []byte
}

func openTun(name string) (*tun, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("TUN %s: %w", name, err)
	}
	return &tun{name, fd, make([]byte, 65536+64)}, nil
}

// drain gives what left, without what the kernel says of its own accord.
func (t *tun) drain() (out [][]byte) {
	for {
		n, err := unix.Read(t.fd, t.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return out
		}
		if !noise(t.buf[:n]) {
			out = append(out, append([]byte(nil), t.buf[:n]...))
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
