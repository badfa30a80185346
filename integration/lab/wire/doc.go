// Package wire is the network between the machines of a lab: it carries datagrams from port to port, and loses, delays,
// repeats and reorders them as it is told, on the network or on the cable of one member, in each direction on its own.
//
// # Overview
//
// A Segment has ports; behind each is a link.Link (the far end of a pipe, or a TUN with a kernel behind it). What a port
// sends goes to the next hop that the sender's routes name at this moment, else to the port that has the destination address,
// else to the only router beside the sender. Every crossing is a Sighting, and a Book keeps and hands them on: captures,
// timelines and claims about what a network must never carry are all made from Sightings.
//
// # A worked example
//
//	s := wire.New("dmz", wire.Options{Clock: clock, Seed: 1, Conditions: wire.Conditions{Delay: 20 * time.Millisecond}}, book)
//	x := s.Plug(wire.Port{Name: "X", Interface: "eth0", Link: end, Owns: has, In: wire.Conditions{Loss: 0.01}})
//	x.SetUp(false)        // the cable is pulled
//	network.Add(s.Pump)   // virtual time
//	go s.Serve()          // or live: a goroutine for each port
//
// # Life of a datagram
//
// It passes three stretches, each with Conditions: the sender's Port.Out, the Segment's own, the receiver's Port.In. Each
// begins when the one before it ends, so that a queue before a slow link is filled in the order of arrival there; each has
// its own sequence of random numbers, so that chance on one link does not change with what happens on others.
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
