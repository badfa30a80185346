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

// readAhead is how many datagrams may wait in one batch, and readBytes how much memory they may take, about: what waits
// should still be in the cache when its turn comes. Three or four super-segments in a row are 5 % faster than one by one, eight
// are slower again.
const (
	readAhead = 16
	readBytes = 192 << 10
)

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

	badHeader, txErrors atomic.Uint64
}

// Name is the device's name when it was opened.
func (t *TUN) Name() string { return t.name }

// MTU in bytes, as last set through this TUN.
func (t *TUN) MTU() int { return int(t.mtu.Load()) }

// Queues is what Options asked for.
func (t *TUN) Queues() int { return len(t.queues) }

// Offloads is what the kernel granted.
func (t *TUN) Offloads() link.Offloads { return t.offloads }

// Serve reads queue q until Close (link.ErrClosed) or until the device is gone (ErrGone). After it has slept it hands the
// first datagram to h at once; while more are waiting it hands them in batches, so that the kernel's code and ours take
// turns at the processor's caches less often.
func (t *TUN) Serve(q int, h func([]*packet.Packet)) error {
	if t.closed.Load() {
		return link.ErrClosed
	}
	qu := t.queues[q]
	r := reader{t: t, q: qu, batch: make([]*packet.Packet, 0, readAhead)}
	err := qu.raw.Read(func(fd uintptr) bool {
		limit := 1
		for n := 0; ; {
			more := r.fill(fd, limit)
			if len(r.batch) > 0 {
				h(r.batch)
			}
			if !more {
				return r.failed != nil // nil: sleep in the poller until there is more
			}
			limit = readAhead
			if n += len(r.batch); n >= yieldEvery {
				n = 0
				runtime.Gosched()
			}
		}
	})
	switch {
	case r.failed != nil:
		return r.failed
	case t.closed.Load() || errors.Is(err, os.ErrClosed):
		return link.ErrClosed
	case t.gone(qu):
		return fmt.Errorf("tun %s: %w", t.name, ErrGone)
	}
	return fmt.Errorf("tun %s: %w", t.name, err)
}

// gone asks whether the device still exists: whoever sleeps when it goes is told by the poller only that something is wrong.
func (t *TUN) gone(qu *queue) bool {
	qu.alive.RLock()
	defer qu.alive.RUnlock()
	if t.closed.Load() {
		return false
	}
	_, err := deviceFlags(qu.fd)
	return errors.Is(err, unix.EBADFD)
}

// reader is one Serve loop.
type reader struct {
	t      *TUN
	q      *queue
	batch  []*packet.Packet // of packets, which keeps them all
	failed error
}

// fill reads up to limit datagrams, fewer if they are long. It is false when there are no more, or none any more.
func (r *reader) fill(fd uintptr, limit int) (more bool) {
	all := r.batch[:cap(r.batch)]
	r.batch = all[:0]
	for bytes := 0; len(r.batch) < limit && bytes < readBytes; {
		if r.t.closed.Load() {
			r.failed = link.ErrClosed
			return false
		}
		n := len(r.batch)
		if all[n] == nil {
			all[n] = packet.New()
		}
		p := all[n]
		p.Reset()
		b := p.Raw(hdrLen)
		got, e := rawRead(fd, b)
		switch e {
		case 0:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case unix.EBADFD, unix.EBADF:
			r.failed = fmt.Errorf("tun %s: %w", r.t.name, ErrGone)
			return false
		default:
			r.failed = fmt.Errorf("tun %s: read: %w", r.t.name, e)
			return false
		}
		if got < hdrLen || got > len(b) {
			r.q.badHeader.Add(1)
			continue
		}
		p.SetLen(got - hdrLen)
		if !decode(b, p) {
			r.q.badHeader.Add(1)
			continue
		}
		r.batch = all[:n+1]
		bytes += got
	}
	return true
}

// Send writes the batch. The first datagram that the kernel refuses ends it: link.ErrDown while the interface is down,
// link.ErrFull without memory, ErrGone, link.ErrClosed, or what the kernel said.
func (t *TUN) Send(q int, batch []*packet.Packet) (int, error) {
	qu := t.queues[uint(q)%uint(len(t.queues))]
	qu.alive.RLock()
	sent, err := t.write(qu, batch)
	qu.alive.RUnlock()
	return sent, err
}

func (t *TUN) write(qu *queue, batch []*packet.Packet) (int, error) {
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
		s.BadHeader += q.badHeader.Load()
		s.TxErrors += q.txErrors.Load()
	}
	return s
}
