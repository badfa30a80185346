package conntrack_test

import (
	"testing"

	"github.com/moat-router/moat/policy/nat/walktest"
)

// TestTrackersDoAsTheKernelDid plays what kernel 6.18 was recorded to do: TCP from handshake to reset, timeouts of UDP
// and ICMP, events, messages about INVALID packets.
func TestTrackersDoAsTheKernelDid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"A30-udp-timeouts", "A32-udp-refresh", "A33-icmp-echo",
		"C01-handshake-close", "C02-rst", "C03-rst-out-of-window", "C04-out-of-window-data", "C05-liberal", "C07-loose-off", "C12-malformed-tcp",
		"H16-events", "H18-conntrack-invalid-nf-log-invalid",
		"J02-pd-rst-invalid", "J03-pd-inexact-rst", "J04-pd-synack-old",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			walktest.Play(t, "../../integration/testdata/scenarios/"+name+".json")
		})
	}
}
