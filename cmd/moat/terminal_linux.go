package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// atTerminal tells whether standard input is a terminal: then Ctrl-C reaches every process in front of it.
func atTerminal() bool {
	_, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS)
	return err == nil
}
