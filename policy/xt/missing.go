package xt

import (
	"fmt"

	"github.com/moat-router/moat/policy"
)

// missing says that an option must be given.
func missing(name string) error { return fmt.Errorf("%s must be given", name) }

// together says that two options exclude each other.
func together(a, b string) error { return fmt.Errorf("%s and %s exclude each other", a, b) }

// onlyMangle refuses a target outside of the mangle table, as its kernel module does (.table = "mangle").
func onlyMangle(name string, r *RuleInfo) error {
	if r.Table != policy.Mangle {
		return fmt.Errorf("%s is allowed in the mangle table only, not in %s", name, r.Table)
	}
	return nil
}
