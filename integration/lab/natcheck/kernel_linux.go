package natcheck

import "github.com/moat-router/moat/integration/difftest"

// Linux measures the masquerading of this machine's kernel, in network namespaces of its own: root, iproute2,
// iptables-legacy and conntrack are needed, and the error says what is missing. It takes some seconds.
func Linux() ([]Finding, error) {
	k, err := difftest.NewKernel()
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return Measure(k, false, Plain())
}
