package tun

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/link"
)

const cloneDevice = "/dev/net/tun"

// The offloads in the order in which they are asked for: kernels before 6.2 do not know USO.
const (
	offloadTCP = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	offloadAll = offloadTCP | unix.TUN_F_USO4 | unix.TUN_F_USO6
)

// Open creates (or, with Attach, takes) a device and attaches its queues. What it created before an error is removed.
func Open(o Options) (t *TUN, err error) {
	o.Queues = max(o.Queues, 1)
	if len(o.Name) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("tun %s: a device name has at most %d bytes", o.Name, unix.IFNAMSIZ-1)
	}
	helper, name, persistent, err := openHelper(o)
	if err != nil {
		return nil, fmt.Errorf("tun %s: %w", o.Name, err)
	}
	defer unix.Close(helper)
	t = &TUN{name: name}
	defer func() {
		if err != nil {
			t.Close()
			t, err = nil, fmt.Errorf("tun %s: %w", name, err)
		}
	}()
	for range o.Queues {
		q, err := openQueue(name)
		if err != nil {
			return t, err
		}
		t.queues = append(t.queues, q)
	}
	if persistent { // water has just taken the flag away
		if err := unix.IoctlSetInt(t.queues[0].fd, unix.TUNSETPERSIST, 1); err != nil {
			return t, fmt.Errorf("keep the device persistent: %w", err)
		}
	}
	if t.offloads, err = setOffloads(t.queues[0].fd, o.NoOffload); err != nil {
		return t, err
	}
	return t, t.configure(o)
}

// openHelper creates the device with the flag that water cannot ask for.
func openHelper(o Options) (fd int, name string, persistent bool, err error) {
	fd, err = unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, "", false, explainOpen(err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	req, err := unix.NewIfreq(o.Name)
	if err != nil {
		return fd, "", false, fmt.Errorf("device name: %w", err)
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE | unix.IFF_VNET_HDR)
	if !o.Attach {
		flags |= unix.IFF_TUN_EXCL
	}
	req.SetUint16(flags)
	if err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return fd, "", false, explainSetIff(err, o)
	}
	now, err := deviceFlags(fd)
	return fd, req.Name(), now&unix.IFF_PERSIST != 0, err
}

// openQueue attaches one more queue through water and proves that it has the virtio header.
func openQueue(name string) (*queue, error) {
	// water does not ask for close-on-exec, and a child that inherits the descriptor keeps the device alive.
	syscall.ForkLock.RLock()
	w, err := water.New(water.Config{
		DeviceType:             water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name, MultiQueue: true},
	})
	if err != nil {
		syscall.ForkLock.RUnlock()
		return nil, fmt.Errorf("attach a queue: %w", err)
	}
	q := &queue{dev: w}
	q.raw, err = w.ReadWriteCloser.(*os.File).SyscallConn()
	if err == nil {
		err = q.raw.Control(func(fd uintptr) { q.fd = int(fd); unix.CloseOnExec(q.fd) })
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		w.Close()
		return nil, err
	}
	flags, err := deviceFlags(q.fd)
	if err == nil && (w.Name() != name || flags&unix.IFF_VNET_HDR == 0) {
		err = fmt.Errorf("the kernel attached %s with flags %#x, without the virtio header", w.Name(), flags)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return q, nil
}

func deviceFlags(fd int) (uint16, error) {
	var req unix.Ifreq
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, &req); err != nil {
		return 0, fmt.Errorf("TUNGETIFF: %w", err)
	}
	return req.Uint16(), nil
}

// setOffloads asks for the most that this kernel grants. A kernel that grants nothing is served with plain datagrams
// behind an empty header.
func setOffloads(fd int, none bool) (link.Offloads, error) {
	if !none {
		if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloadAll) == nil {
			return link.Offloads{Csum: true, TSO4: true, TSO6: true, USO: true}, nil
		}
		if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloadTCP) == nil {
			return link.Offloads{Csum: true, TSO4: true, TSO6: true}, nil
		}
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		return link.Offloads{}, fmt.Errorf("TUNSETOFFLOAD 0: %w", err)
	}
	return link.Offloads{}, nil
}

func explainOpen(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: load the module (modprobe tun), or give the container the device (--device %s)", ErrNoDevice, cloneDevice)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w to open %s: %v (most distributions make it mode 0666; a container needs --device %s)", ErrPermission, cloneDevice, err, cloneDevice)
	}
	return fmt.Errorf("open %s: %w", cloneDevice, err)
}

func explainSetIff(err error, o Options) error {
	switch {
	case errors.Is(err, unix.EBUSY) && !o.Attach, errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: choose another name, or remove it (ip link del %s)", ErrInUse, o.Name)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w by another process", ErrInUse)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w to create a network device: that needs CAP_NET_ADMIN in this network namespace (root, --cap-add NET_ADMIN, or a user namespace)", ErrPermission)
	case errors.Is(err, unix.EINVAL) && o.Attach:
		return fmt.Errorf("%w by a device that is no TUN with several queues (ip tuntap add dev %s mode tun multi_queue)", ErrInUse, o.Name)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the kernel refuses the name %q or multi-queue TUNs: %w", o.Name, err)
	}
	return fmt.Errorf("TUNSETIFF: %w", err)
}
