// Package newcomer does what the README's section on labs shows, word for word, as somebody would who has only read that:
// a topology file, its checks, a program in a host, and a Go test in an empty module with a replace line.
//
// # Overview
//
// There is nothing here but tests. They take files, commands and what the commands print out of the README; ports,
// times and states that differ from run to run count as equal.
//
// # Limits
//
// The go command and its module cache are needed; nothing is downloaded.
package newcomer
