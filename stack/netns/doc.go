// Package netns makes, enters and furnishes network namespaces of Linux.
//
// # Overview
//
// The kernel's end of a TUN can live in another namespace than the router: that is how a gateway gets a "wide area
// network" on one machine, and how a lab has hosts. A namespace is held as an open descriptor; those made here are
// removed by Close, anonymous ones vanish with it.
//
// # A worked example
//
//	ns, err := netns.OpenOrCreate("internet")           // a name (as ip netns), a path, or pid:N
//	defer ns.Close()                                    // removes what was created, nothing else
//	t.MoveToNamespace(ns.Fd())                          // a stack/tun device
//	ns.Configure("moat-wan", netns.Config{Up: true,
//		Addresses: []string{"192.168.42.2/24"},
//		Routes:    []string{"default via 192.168.42.1"}})
//	ns.Do(func() error { c, err = net.Dial("tcp", "192.168.42.1:80"); return err })
//
// # Without root
//
// A process of Go has many threads and cannot enter a user namespace. Reexec prepares a child that is born into new
// user, network and mount namespaces, where it is root; Explain says in words why a machine refuses that.
//
// # Invariants
//
// Do runs on a thread of its own and gives it back only when it stands in its first namespace again; otherwise the
// thread is destroyed. What this package creates it removes, also after an error half way.
//
// # Concurrency
//
// All methods are safe from any goroutine. Goroutines that f starts in Do are not in the namespace.
//
// # Limits
//
// Linux only; elsewhere every function returns ErrUnsupported. Routes understand the words of ip-route(8) that Route
// lists, and refuse others.
//
// # References
//
// namespaces(7), user_namespaces(7), ip-netns(8), ip-route(8).
package netns
