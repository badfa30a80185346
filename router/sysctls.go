package router

import (
	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/router/sysctl"
)

// What the walk asks of sysctls, per interface where Linux keeps them so.

// conf is the values of an interface.
func (s *state) conf(d *device) *sysctl.Conf { return s.sys.Conf(d.Index) }

func (s *state) forwarding(in *device, v6 bool) bool {
	if v6 {
		return s.conf(in).Forwarding6
	}
	return s.conf(in).Forwarding4
}

// sourcePolicy is how the source of a packet that came in by d is checked.
func (s *state) sourcePolicy(d *device) fib.Source {
	c := s.conf(d)
	return fib.Source{RPFilter: c.RPFilter, AcceptLocal: c.AcceptLocal, SrcValidMark: c.SrcValidMark, SendRedirects: c.SendRedirects}
}

func (s *state) routeLocalnet(d *device) bool { return s.conf(d).RouteLocalnet }

// ttl and hopLimit are those of packets that the router makes.
func (s *state) ttl() uint8      { return s.sys.DefaultTTL }
func (s *state) hopLimit() uint8 { return s.sys.HopLimit }

// replyMark is the mark of an answer to p: p's own, if fwmark_reflect says so.
func (s *state) replyMark(p *passage) uint32 {
	if s.sys.FwmarkReflect(p.V6) {
		return p.Mark
	}
	return 0
}
