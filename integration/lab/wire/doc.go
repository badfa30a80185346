// Package wire is the network between the machines of a lab: it carries datagrams from port to port, and loses, delays,
// repeats and reorders them as it is told.
//
// # Overview
//
// A Segment has ports; behind each is a link.Link (the far end of a pipe, or a TUN with a kernel behind it). What a port
// sends goes to the port that has the destination address, else to the next hop that the sender's routes name, else to
// the only router beside the sender. Every crossing is a Sighting, and a Book keeps and hands them on: captures,
// timelines and claims about what a network must never carry are all made from Sightings.
//
// # A worked example
//
//	s := wire.New("dmz", wire.Options{Clock: clock, Delay: 20 * time.Millisecond, Loss: 0.01, Seed: 1}, book)
//	x := s.Plug("X", end, wire.Port{Addresses: []netip.Addr{…}})
//	network.Add(s.Pump)   // virtual time
//	go s.Serve()          // or live: a goroutine for each port
//
// # Invariants
//
// Without reordering datagrams between two ports keep their order whatever the jitter. With the same seed and on virtual
// time every run is the same. A datagram that is not delayed crosses inside the sender's call, without a copy.
//
// # Concurrency
//
// All methods are safe from any goroutine, but ports are plugged in before anything moves.
//
// # Limits
//
// No link layer: no ARP, no neighbour discovery, no address that two members share. Link-scope multicast of IPv6 ends at
// the port: there is nobody to discover.
//
// # References
//
// tc-netem(8) for the meaning of delay, jitter, loss, duplicate, reorder and rate.
package wire
