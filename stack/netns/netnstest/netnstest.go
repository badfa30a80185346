// Package netnstest is for tests that need the real kernel: it skips them with a sentence where the kernel says no,
// and cleans up after them.
//
// With MOAT_REQUIRE=kernel in the environment such a skip is a failure, so that a test run that must have covered the
// kernel cannot pass without it.
package netnstest

import (
	"os"
	"testing"

	"github.com/moat-router/moat/stack/netns"
)

// Skip skips the test with a sentence, or fails it where MOAT_REQUIRE=kernel.
func Skip(t testing.TB, why string, args ...any) {
	t.Helper()
	if os.Getenv("MOAT_REQUIRE") == "kernel" {
		t.Fatalf("MOAT_REQUIRE=kernel: "+why, args...)
	}
	t.Skipf(why, args...)
}

// Need skips the test unless this process may make network namespaces and TUN devices.
func Need(t testing.TB) {
	t.Helper()
	if err := netns.CanAdminister(); err != nil {
		Skip(t, "network namespaces cannot be made here: %v", err)
	}
	if err := netns.CanOpenTUN(); err != nil {
		Skip(t, "TUN devices cannot be opened here: %v", err)
	}
}

// New gives an anonymous namespace that is gone after the test.
func New(t testing.TB) *netns.NS {
	t.Helper()
	Need(t)
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// In runs f inside the namespace and fails the test for its error.
func In(t testing.TB, n *netns.NS, f func() error) {
	t.Helper()
	if err := n.Do(f); err != nil {
		t.Fatal(err)
	}
}
