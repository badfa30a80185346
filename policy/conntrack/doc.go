// Package conntrack knows the connections that packets belong to, in netfilter's shape and words.
//
// # Overview
//
// A Tuple names one direction of a flow; a Conn has two of them. In finds or begins a packet's connection and lets its
// protocol's tracker look at the packet; Confirm, at the end of the walk, puts a new connection into the table; Release
// ends what the packet held. A packet that dies in between leaves nothing.
//
// # A worked example
//
//	var ref conntrack.Ref
//	if why := t.In(now, p, &ref, conntrack.HookInfo{}, rng); why != packet.ReasonNone {
//		return why // the table is full
//	}
//	defer t.Release(&ref)
//	switch ref.State() { ... } // NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED: what rules ask for
//	return t.Confirm(now, p, &ref, rng)
//
// A DNS question 192.168.1.10:5000 > 198.51.100.9:53 begins a connection that expects 198.51.100.9:53 > 192.168.1.10:5000.
// With the answer it has SEEN_REPLY, and two seconds later two-way traffic makes it ASSURED.
//
// # Life of a connection
//
//	In        begun: in no list, held by its packet alone
//	(nat)     the reply tuple may change
//	Confirm   CONFIRMED: under both tuples in the hash, in the timer wheel; NEW is told
//	In ...    trackers move its state, store its deadline, cache what is to be told; Confirm tells it
//	Advance   its deadline is past; or Kill, Flush, a full table, an RST before any answer, a SYN after the end
//	          DYING: out of all lists; DESTROY is told
//	Release   the last packet that held it is gone: the slot is free
//
// # Invariants
//
//   - A Conn has no pointers: a million of them cost the garbage collector nothing. It takes about 200 bytes; what few
//     connections have stands in an ext outside.
//   - Tuples do not change once a connection is confirmed.
//   - A slot is used again only when nobody holds a reference to it. Confirmed connections are held once by the table, and
//     once by each packet that carries them.
//   - A connection whose deadline is past is absent for every look-up.
//   - Connections end in order of (deadline, creation), whatever shard they are in.
//   - ICMP errors belong to the connection of the packet that they quote, in the other direction, if they are addressed to
//     that packet's sender. Errors of the router's own carry the entry of the packet that caused them (Ref.ForError).
//   - Errors refresh and end nothing (RFC 4787 REQ-12, RFC 5508 REQ-6).
//
// # Concurrency
//
// The hash is cut into shards. A connection stands in two of them, one for each tuple; that of its original tuple owns
// its memory and its timer. Look-ups of what is there take no lock: they take a reference and look again. Locks, in this
// order: the expectations; a connection's own (its protocol state); two shards, lower index first. The ext slab and the
// buckets of the source index are locked for themselves, and nothing is taken below them. Status, mark and deadline are
// atomic. Callbacks (Subscribe, OnInvalid) run on the packet's worker and must not call the table.
//
// # Limits
//
// Eight million connections for each shard. The PPTP and H.323 parts of Linux are not there, nor are SYNPROXY, security
// marks and flow offload. Where Linux frees a dying connection's buckets by RCU, this package counts references.
//
// # References
//
// Linux net/netfilter/nf_conntrack_core.c, _expect.c, _proto_*.c, _seqadj.c, _netlink.c (behaviour, kernel 6.18); RFC
// 9293, 7323, 2018, 5961 (TCP), 9260 (SCTP), 792, 4443, 4861 (ICMP), 4787, 5382, 5508, 7857 (timers); Guido van Rooij,
// "Real Stateful TCP Packet Filtering in IP Filter" (the window check).
package conntrack
