package nat_test

import (
	"testing"

	"github.com/moat-router/moat/policy/nat/walktest"
)

// TestTranslationIsTheKernels plays what kernel 6.18 was recorded to do: SNAT, address ranges, and ICMP
// errors whose quotes are whole, cut, fragments, wrongly summed, or about errors.
func TestTranslationIsTheKernels(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"B01-snat", "B20-snat-ip-range",
		"D01-frag-needed-udp-snat", "D01-frag-time-exceeded-udp-snat", "D01-param-problem-udp-snat", "D01-source-quench-udp-snat",
		"D01-unreach-port-udp-snat", "D02-unreach-tcp-snat", "D03-unreach-echo-snat", "D04-redirect-snat", "D09-inner-bad-udp-checksum",
		"D10-truncated-quotes", "D11-error-about-error", "D15-error-quoting-fragments",
		"E03-param-masq66", "E03-ptb-masq66", "E15-echo-error-masq66",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			walktest.Play(t, "../../integration/testdata/scenarios/"+name+".json")
		})
	}
}
