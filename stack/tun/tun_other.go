//go:build !linux

package tun

import (
	"github.com/moat-router/moat/stack/link"
	"github.com/moat-router/moat/stack/packet"
)

// TUN is a TUN device. There is none on this system; the type exists so that callers build.
type TUN struct{}

var _ link.Link = (*TUN)(nil)

// Open returns ErrUnsupported.
func Open(Options) (*TUN, error) { return nil, ErrUnsupported }

// The methods of a TUN that cannot be opened.
func (*TUN) Name() string                            { return "" }
func (*TUN) MTU() int                                { return 0 }
func (*TUN) SetMTU(int) error                        { return ErrUnsupported }
func (*TUN) SetUp(bool) error                        { return ErrUnsupported }
func (*TUN) Queues() int                             { return 1 }
func (*TUN) Offloads() link.Offloads                 { return link.Offloads{} }
func (*TUN) Serve(int, func([]*packet.Packet)) error { return ErrUnsupported }
func (*TUN) Send(int, []*packet.Packet) (int, error) { return 0, ErrUnsupported }
func (*TUN) Close() error                            { return nil }
func (*TUN) Stats() Stats                            { return Stats{} }
func (*TUN) KernelDrops() (uint64, error)            { return 0, ErrUnsupported }
func (*TUN) MoveToNamespace(fd int) error            { return ErrUnsupported }
