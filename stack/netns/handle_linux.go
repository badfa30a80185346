package netns

import (
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Handle opens a route socket in the network namespace that fd refers to. Where that is the calling thread's own it is
// an ordinary socket: no privilege to enter namespaces (CAP_SYS_ADMIN) and no /proc are needed, so that a container
// with CAP_NET_ADMIN alone can furnish its devices.
func Handle(fd int) (*netlink.Handle, error) {
	if f, err := own(); err == nil {
		same := sameFile(int(f.Fd()), fd)
		f.Close()
		if same {
			return netlink.NewHandle(unix.NETLINK_ROUTE)
		}
	}
	return netlink.NewHandleAt(netns.NsHandle(fd), unix.NETLINK_ROUTE)
}

// own is the calling thread's namespace: from /proc, or where there is none from a socket, which remembers where it
// was made (SIOCGSKNS).
func own() (*os.File, error) {
	f, err := os.Open(ownNS)
	if err == nil {
		return f, nil
	}
	s, serr := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if serr != nil {
		return nil, err
	}
	defer unix.Close(s)
	fd, serr := unix.IoctlRetInt(s, unix.SIOCGSKNS)
	if serr != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), ownNS), nil
}

func sameFile(a, b int) bool {
	var sa, sb unix.Stat_t
	return unix.Fstat(a, &sa) == nil && unix.Fstat(b, &sb) == nil && sa.Dev == sb.Dev && sa.Ino == sb.Ino
}
