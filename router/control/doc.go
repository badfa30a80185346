// Package control is the socket through which a running moat is asked and changed, both ends of it.
//
// # Overview
//
// The protocol is the command line. A client sends one JSON line, {"do":"conntrack","args":["-L","-p","udp"]}, and reads
// frames, a JSON line each: {"out":"text"} for standard output, {"err":"text"} for standard error and at last
// {"exit":0}. The server parses, filters and prints; the client copies. So a long listing or an endless stream of events
// needs no memory, and a person with socat can use the socket:
//
//	echo '{"do":"metrics"}' | socat - UNIX-CONNECT:/run/moat/moat.sock
//
// The router implements Backend and knows nothing of sockets, arguments and formats.
//
// # A worked example
//
//	l, err := control.Listen("")            // the default path
//	go control.NewServer(backend).Serve(l)
//	...
//	code, err := control.Call(ctx, "", &control.Request{Do: "conntrack", Args: []string{"-C"}}, os.Stdout, os.Stderr)
//
// # Life of a socket
//
// Its directory is made with mode 0700 where it is missing; the socket appears under its name with mode 0600 already set.
// A socket on which somebody answers is refused; one on which nobody does is left from a moat that died, and is
// replaced. Close removes it.
//
// # Invariants
//
// Every answer ends with an exit frame: one that does not was cut off, and Call says so. Exit codes are those of moat: 0;
// 2 for what the caller wrote; 1 for what could not be done.
//
// # Concurrency
//
// Each connection has a goroutine; Backend methods may be called from several. A client that reads too slowly loses
// events, never delays packets: the stream says how many were lost.
//
// # Limits
//
// One request per connection. Two moats that start at the very same moment on one stale socket may both believe that
// they own it. Who may connect is decided by the file's mode alone.
package control
