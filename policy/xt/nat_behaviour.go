package xt

import (
	"slices"

	"github.com/moat-router/moat/policy/nat"
)

// The options of SNAT and MASQUERADE that Linux does not have: what the NAT promises, in the words of RFC 4787. A rule
// with one of them has a behaviour; what it does not say is mapping endpoint-independent, filtering
// address-and-port-dependent (which is Linux's), ports preserved, addresses paired.
var behaviourOptions = []string{"--mapping", "--filtering", "--port-assignment", "--pooling", "--no-hairpin"}

// behaviour takes one of those options.
func (a *natArgs) behaviour(o *Opt) (bool, error) {
	if a.kind.manip != nat.ManipSrc || !slices.Contains(behaviourOptions, o.Name) {
		return false, nil
	}
	if a.how == nil {
		a.how = &nat.Behaviour{Filtering: nat.AddressAndPortDependent}
	}
	if o.Name == "--no-hairpin" {
		a.how.NoHairpin = true
		return true, nil
	}
	word, err := o.Arg()
	if err != nil {
		return true, err
	}
	var i int
	switch o.Name {
	case "--mapping":
		i, err = oneOf(o, word, nat.DependenceWords)
		a.how.Mapping = nat.Dependence(i)
	case "--filtering":
		i, err = oneOf(o, word, nat.DependenceWords)
		a.how.Filtering = nat.Dependence(i)
	case "--port-assignment":
		i, err = oneOf(o, word, nat.AssignmentWords)
		a.how.Assignment = nat.Assignment(i)
	case "--pooling":
		i, err = oneOf(o, word, nat.PoolingWords)
		a.how.Pooling = nat.Pooling(i)
	}
	return true, err
}
