package lab_test

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/moat-router/moat/stack/packet"
)

func datagram(text string) []byte { return packet.MustBuild(text) }

// tb is the testing.T of examples.
type tb struct {
	failed  bool
	cleanup []func()
}

func (t *tb) Helper()                   {}
func (t *tb) Name() string              { return "Example" }
func (t *tb) Failed() bool              { return t.failed }
func (t *tb) Cleanup(f func())          { t.cleanup = append(t.cleanup, f) }
func (t *tb) Logf(f string, a ...any)   { fmt.Printf(f+"\n", a...) }
func (t *tb) Errorf(f string, a ...any) { t.failed = true; t.Logf(f, a...) }
func (t *tb) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (t *tb) end() {
	for _, f := range t.cleanup {
		f()
	}
}

func udpAddr(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
