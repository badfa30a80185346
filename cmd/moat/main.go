// Command moat is a userspace router with netfilter's semantics: run it as a gateway, build topologies with it, replay
// what a kernel did. "moat help" lists its commands.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
