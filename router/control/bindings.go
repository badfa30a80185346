package control

import "github.com/moat-router/moat/router/control/ctfmt"

// bindings answers for the table "bindings", which conntrack(8) does not have: what rules with NAT behaviours promised.
func (s *Server) bindings(q *Query, a *answer) error {
	switch q.Command {
	case 'L', 'C':
	case 'F':
		s.backend.FlushBindings()
		a.errorf("moat: binding table has been emptied.\n")
		return nil
	default:
		return usage("-%c does not know the table bindings: list them (-L), count them (-C) or flush them (-F)", q.Command)
	}
	if q.Format != FormatText && q.Format != FormatJSON {
		return usage("bindings are listed as text, or with -o json")
	}
	n := 0
	var buf []byte
	s.backend.Bindings(func(b *ctfmt.Binding) bool {
		if !q.Filter.matchBinding(b) {
			return true
		}
		if n++; q.Command == 'C' {
			return true
		}
		if q.Format == FormatJSON {
			buf = ctfmt.AppendBindingJSON(buf[:0], b)
		} else {
			buf = ctfmt.AppendBinding(buf[:0], b, q.Output)
		}
		a.write(append(buf, '\n'))
		return a.err == nil
	})
	if q.Command == 'C' {
		a.printf("%d\n", n)
	} else {
		a.errorf("moat: %d bindings have been shown.\n", n)
	}
	return nil
}

// matchBinding takes a binding for the flow from its internal endpoint whose answers come to its external one.
func (x *Filter) matchBinding(b *ctfmt.Binding) bool {
	f := ctfmt.Flow{Zone: b.Zone}
	f.Orig.Src, f.Orig.SrcPort, f.Orig.Proto, f.Orig.V6 = b.Internal.Addr, b.Internal.Port, b.Proto, b.V6
	f.Reply.Dst, f.Reply.DstPort, f.Reply.Proto, f.Reply.V6 = b.External.Addr, b.External.Port, b.Proto, b.V6
	return x.Match(&f)
}
