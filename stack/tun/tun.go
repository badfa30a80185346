package tun

import "errors"

// Errors that Open returns, each wrapped in a sentence that says what to do.
var (
	ErrInUse       = errors.New("device name is in use")
	ErrNoDevice    = errors.New("there is no /dev/net/tun")
	ErrPermission  = errors.New("not permitted")
	ErrUnsupported = errors.New("TUN devices are supported on Linux only")
)

// ErrGone is returned by Serve and Send when the device was deleted, or died with its network namespace. It is no
// link.ErrClosed: nobody here wanted it.
var ErrGone = errors.New("the device is gone, deleted or with its network namespace")

// Options says what to open. The zero value opens a device that the kernel names, down, with one queue.
type Options struct {
	Name   string // "" lets the kernel choose (tun0, tun1, ...)
	MTU    int    // bytes; 0 leaves the kernel's default of 1500
	Queues int    // read loops that may run side by side; 0 means 1
	Up     bool   // set the interface up

	// Attach takes a persistent device that exists (ip tuntap add dev NAME mode tun multi_queue); it stays when the
	// TUN is closed. Without it a name that is taken is an error.
	Attach bool
	// NoOffload asks the kernel for ordinary datagrams with complete checksums only.
	NoOffload bool
}

// Stats counts what went wrong at the device since it was opened; what went well is counted by who uses it.
type Stats struct {
	BadHeader uint64 // read with a virtio header that contradicts the datagram: dropped
	TxErrors  uint64 // refused by the kernel, for whatever reason Send returned
}
