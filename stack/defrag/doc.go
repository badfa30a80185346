// Package defrag waits until a datagram is whole: step 3 of the walk, nf_defrag_ipv4 and nf_defrag_ipv6 in Linux.
//
// # Overview
//
// Two parties share the work. The book (Defrag, queue) is ours: it knows which fragments belong together, applies
// Linux's rules about overlaps, lengths, time and memory, and holds the fragments. The reassembly is gVisor's own:
// as soon as the book sees that a datagram's fragments are all there, they go through the network endpoint of a
// netstack (engine) that has one promiscuous NIC, no route, no address and a clock that stands still, under
// addresses and an id of the engine's choosing, and gVisor's reassembler hands back the payload to a transport
// dispatcher of ours. The header of fragment 0 goes in front again and the datagram is whole.
//
// Only complete sets reach gVisor. So its constants (30 s, 60 s, 4 MB per family, silent eviction) never decide
// anything, there is nothing stale in it, and the sysctls do what they do in Linux:
//
//	net.ipv4.ipfrag_time, ipfrag_high_thresh, ipfrag_max_dist       Options.V4
//	net.netfilter.nf_conntrack_frag6_timeout, _high_thresh          Options.V6
//	net.ipv6.ip6frag_time, ip6frag_high_thresh                      Options.V6Local
//
// # A worked example
//
// 198.51.100.9 sends UDP with 1600 bytes of payload to 192.168.1.10, cut at 1200 bytes, the second piece first:
//
//	Add(now, [off=1200 len=408],    in, user)  nil, ReasonFragQueued      a queue is born, its deadline is now+30s
//	Add(now, [off=0    len=1200 mf], in, user) whole, ReasonNone          one datagram of 20+1608 bytes, id kept
//	    whole.Pieces = [{0 1200} {1200 408}], whole.FragMax = 1220        what stack/frag needs to cut it again
//	... the walk ...
//	Done(whole)                                                           the buffer goes back to the pool
//
// A third fragment [off=1200 len=408] now would open a queue of its own and die with it after 30 s.
//
// # What Linux does with odd fragments
//
// The key is (source, destination, id, user), for IPv4 also the protocol, for IPv6 also the interface if the
// destination means something on one link only.
//
//	contained in what came in order before    ignored          ReasonFragDuplicate
//	any other overlap                         queue dies       ReasonFragOverlap (RFC 5722, for IPv4 as well)
//	beyond the end, a second end, no payload  queue dies; IPv6 conntrack: only the fragment does
//	not the last, length no multiple of 8     IPv4: cut down to one; IPv6 conntrack: queue dies, the fragment
//	                                          goes on as it is; IPv6 local: fragment dies (ParamProblem)
//	end beyond 65535                          IPv4: queue dies when it is complete; IPv6: fragment dies
//	mix of Not-ECT and ECT or CE              queue dies when it is complete (RFC 3168 5.3)
//	first IPv6 fragment without all headers   conntrack: goes on as it is; local: fragment dies (RFC 7112)
//	atomic IPv6 fragment                      whole at once, the header goes
//
// "In order" is meant literally: fragments that followed one another form a run, and only what lies within one run
// is a duplicate. [8,16) [0,8) and then [0,16) is an overlap, [0,8) [8,16) [0,16) is none.
//
// # Invariants
//
// A fragment is in at most one queue; a queue's pieces do not overlap; a queue is in the map, in the age list and in
// the deadline heap, or in none. What is accounted never exceeds a threshold by more than one fragment.
//
// # Concurrency
//
// One lock. Fragments are the slow path (4 µs of gVisor's per datagram), a queue is reached from any worker, and the
// memory limits, the deadlines and the fairness between sources are global by nature. Datagrams that are not
// fragments never come here.
//
// # Limits
//
// Memory is accounted as Linux accounts it (truesize, measured), so that thresholds bite after as many fragments.
// Over the threshold Linux refuses every new fragment, and one flooding source starves all. With PerSource set, a
// source that holds less than that pushes out the oldest datagram of somebody else instead, of a source above its
// share first: this deviates on purpose (RFC 4787 REQ-14). PerSource 0 is Linux.
//
// # References
//
// RFC 791 3.2, RFC 815, RFC 3168 5.3, RFC 5722, RFC 6946 (not followed by Linux conntrack: an atomic fragment uses
// the queue of its key), RFC 7112, RFC 8200 4.5. Linux net/ipv4/ip_fragment.c, net/ipv4/inet_fragment.c,
// net/ipv6/netfilter/nf_conntrack_reasm.c, net/ipv6/reassembly.c. Scenarios A02 to A06, G01 to G17, K02, K04.
package defrag
