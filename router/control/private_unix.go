//go:build unix

package control

import (
	"fmt"
	"os"
	"syscall"
)

// private checks that dir is ours and closed to others: anybody may create names in a temporary directory.
func private(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case ok && int(s.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user (%d): remove it, or choose another path with --control", dir, s.Uid)
	case st.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others (mode %04o): chmod 0700 it, or choose another path with --control", dir, st.Mode().Perm())
	}
	return nil
}
