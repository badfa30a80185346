package router

import "github.com/moat-router/moat/router/fib"

// What the walk asks of sysctls, per interface where Linux keeps them so.

func (s *state) forwarding(in *device, v6 bool) bool { return s.sys.Forwarding(in.Index, v6) }

// sourcePolicy is how the source of a packet that came in by d is checked.
func (s *state) sourcePolicy(d *device) fib.Source { return s.sys.Source(d.Index) }

func (s *state) routeLocalnet(d *device) bool { return s.sys.RouteLocalnet(d.Index) }

// ttl and hopLimit are those of packets that the router makes; the second depends on the way out.
func (s *state) ttl() uint8 { return uint8(s.sys.TTL) }

func (s *state) hopLimit(out int) uint8 { return uint8(s.sys.HopLimit(out)) }

// replyMark is the mark of an answer to p: p's own, if fwmark_reflect says so.
func (s *state) replyMark(p *passage) uint32 {
	if s.sys.FWMarkReflect[family(p)] {
		return p.Mark
	}
	return 0
}
