//go:build !linux

package main

// atTerminal asks nobody: where there are no kernel hosts there is no program to share a terminal with.
func atTerminal() bool { return false }
