package netns

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Processes lists the processes whose first thread is in one of these namespaces, as ip netns pids does. Not among them
// are this process and those that it may not look at.
func Processes(list ...*NS) (pids []int, err error) {
	type id struct{ dev, ino uint64 }
	wanted := map[id]bool{}
	for _, n := range list {
		var st unix.Stat_t
		if err := unix.Fstat(n.Fd(), &st); err != nil {
			return nil, fmt.Errorf("namespace %s: %w", n.name, err)
		}
		wanted[id{st.Dev, st.Ino}] = true
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		pid, e := strconv.Atoi(name)
		if e != nil || pid == os.Getpid() {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+name+"/ns/net", &st) == nil && wanted[id{st.Dev, st.Ino}] {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// EndProcesses kills the processes in these namespaces, also those that they start meanwhile, and waits until they are gone.
func EndProcesses(list ...*NS) error {
	if len(list) == 0 {
		return nil
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		pids, err := Processes(list...)
		if err != nil || len(pids) == 0 {
			return err
		}
		var errs []error
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("end process %d: %w", pid, err))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if time.Since(start) > endPatience {
			return fmt.Errorf("processes %v do not end", pids)
		}
	}
}

// endPatience bounds the race with processes that do nothing but fork.
const endPatience = 5 * time.Second
