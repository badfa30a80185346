package scenario

import (
	"testing"

	"github.com/moat-router/moat/router"
)

// Everything that kernel 6.18 was seen to do, byte for byte: packets, connections, timers, expectations, events, log
// lines and counters.
func TestKernelScenarios(t *testing.T) {
	t.Parallel()
	for _, s := range append(load(t), load(t, offloads)...) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			m := NewMachine(1)
			defer m.Close()
			run, err := Play(m, s)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range Compare(s, run, 0) {
				t.Error(d)
			}
		})
	}
}

// The switch "defrag: all" sends whole datagrams through gVisor's endpoint, too: nobody outside can tell.
func TestEveryDatagramThroughGVisorGivesTheSame(t *testing.T) {
	t.Parallel()
	for _, s := range load(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			m := NewMachine(1)
			m.Configure = func(c *router.Config) { c.DefragAll = true }
			defer m.Close()
			run, err := Play(m, s)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range Compare(s, run, 0) {
				t.Error(d)
			}
		})
	}
}
