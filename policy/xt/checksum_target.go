package xt

import "github.com/moat-router/moat/policy"

// checksumTarget is -j CHECKSUM (xt_CHECKSUM.c): it completes a checksum that was left to the hardware.
type checksumTarget struct{}

type checksumArgs struct{ given bool }

func (a *checksumArgs) Option(o *Opt) (bool, error) {
	a.given = true
	return true, o.NoNot()
}

func (a *checksumArgs) Done(r *RuleInfo) (policy.Target, error) {
	if !a.given {
		return nil, missing("--checksum-fill")
	}
	return checksumTarget{}, onlyMangle("CHECKSUM", r)
}

func (checksumTarget) Name() string { return "CHECKSUM" }

func (checksumTarget) Exec(p *policy.Packet) policy.Verdict {
	if p.NeedsCsum && p.GSO == 0 {
		p.CompleteChecksum()
	}
	return policy.Continue
}

func (checksumTarget) AppendSave(b []byte) []byte { return append(b, " --checksum-fill"...) }

func (checksumTarget) AppendList(b []byte, numeric bool) []byte {
	return append(b, " CHECKSUM fill"...)
}
