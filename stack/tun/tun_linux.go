package tun

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// yieldEvery is how many packets one queue handles before the other goroutines of its processor have a turn.
const yieldEvery = 256

// TUN is a TUN device of the kernel. It is a link.Link.
type TUN struct {
	name     string // when opened; the kernel's end may be renamed
	mtu      atomic.Int64
	offloads link.Offloads
	queues   []*queue
	closed   atomic.Bool
}

var _ link.Link = (*TUN)(nil)

type queue struct {
	dev *water.Interface
	raw syscall.RawConn
	fd  int // of dev, valid while alive is held for reading

	alive sync.RWMutex // held for reading by Send, for writing by Close

	rxPackets, rxBytes, badHeader atomic.Uint64
	_                             [64]byte // reader and writers are often on different processors
	txPackets, txBytes, txErrors  atomic.Uint64
}

// Name is the device's name when it was opened.
func (t *TUN) Name() string { return t.name }

// MTU in bytes, as last set through this TUN.
func (t *TUN) MTU() int { return int(t.mtu.Load()) }

// Queues is what Options asked for.
func (t *TUN) Queues() int { return len(t.queues) }

// Offloads is what the kernel granted.
func (t *TUN) Offloads() link.Offloads { return t.offloads }

// Serve reads queue q until Close (link.ErrClosed) or until the device is gone (ErrGone), handing h batches of one.
func (t *TUN) Serve(q int, h func([]*packet.Packet)) error {
	if t.closed.Load() {
		return link.ErrClosed
	}
	qu := t.queues[q]
	p := packet.New()
	batch := []*packet.Packet{p}
	var failed error
	err := qu.raw.Read(func(fd uintptr) bool {
		for n := 0; ; {
			if t.closed.Load() {
				failed = link.ErrClosed
				return true
			}
			p.Reset()
			b := p.Raw(hdrLen)
			got, e := rawRead(fd, b)
			switch e {
			case 0:
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false // sleep in the poller until there is more
			case unix.EBADFD, unix.EBADF:
				failed = fmt.Errorf("tun %s: %w", t.name, ErrGone)
				return true
			default:
				failed = fmt.Errorf("tun %s: read: %w", t.name, e)
				return true
			}
			if got < hdrLen || got > len(b) {
				qu.badHeader.Add(1)
				continue
			}
			p.SetLen(got - hdrLen)
			qu.rxPackets.Add(1)
			qu.rxBytes.Add(uint64(got - hdrLen))
			if !decode(b, p) {
				qu.badHeader.Add(1)
				continue
			}
			h(batch)
			if n++; n == yieldEvery {
				n = 0
				runtime.Gosched()
			}
		}
	})
	switch {
	case failed != nil:
		return failed
	case t.closed.Load() || errors.Is(err, os.ErrClosed):
		return link.ErrClosed
	}
	return fmt.Errorf("tun %s: %w", t.name, err)
}

// Send writes the batch. The first datagram that the kernel refuses ends it: link.ErrDown while the interface is down,
// link.ErrFull without memory, ErrGone, link.ErrClosed, or what the kernel said.
func (t *TUN) Send(q int, batch []*packet.Packet) (int, error) {
	qu := t.queues[uint(q)%uint(len(t.queues))]
	qu.alive.RLock()
	defer qu.alive.RUnlock()
	if t.closed.Load() {
		return 0, link.ErrClosed
	}
	for i, p := range batch {
		b := p.Front(hdrLen)
		encode(b, &p.Offload)
		e := rawWrite(qu.fd, b)
		for e == unix.EINTR {
			e = rawWrite(qu.fd, b)
		}
		if e != 0 {
			qu.txErrors.Add(1)
			return i, t.explainWrite(e)
		}
		qu.txPackets.Add(1)
		qu.txBytes.Add(uint64(len(p.Data)))
	}
	return len(batch), nil
}

func (t *TUN) explainWrite(e syscall.Errno) error {
	switch e {
	case unix.EIO:
		return link.ErrDown
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return link.ErrFull
	case unix.EBADFD, unix.EBADF:
		return fmt.Errorf("tun %s: %w", t.name, ErrGone)
	}
	return fmt.Errorf("tun %s: write: %w", t.name, e)
}

// rawRead and rawWrite skip the scheduler's bookkeeping for blocking calls: the descriptor never blocks.
func rawRead(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), e
}

func rawWrite(fd int, b []byte) syscall.Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return e
}

// Close ends every Serve and removes the device, unless it is persistent.
func (t *TUN) Close() error {
	if t.closed.Swap(true) {
		return nil
	}
	var first error
	for _, q := range t.queues {
		q.alive.Lock()
		err := q.dev.Close()
		q.alive.Unlock()
		if first == nil {
			first = err
		}
	}
	return first
}

// Stats sums the queues.
func (t *TUN) Stats() (s Stats) {
	for _, q := range t.queues {
		s.RxPackets += q.rxPackets.Load()
		s.RxBytes += q.rxBytes.Load()
		s.BadHeader += q.badHeader.Load()
		s.TxPackets += q.txPackets.Load()
		s.TxBytes += q.txBytes.Load()
		s.TxErrors += q.txErrors.Load()
	}
	return s
}
