//go:build !linux

package natcheck

import "errors"

// Linux measures the kernel of a Linux machine, and this is none.
func Linux() ([]Finding, error) {
	return nil, errors.New("only Linux can be measured beside moat, and this is another system")
}
