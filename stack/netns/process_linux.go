package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start starts a process inside the namespace. It lives in the caller's mount namespace: /etc and /sys are the same.
func (n *NS) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// Reexec prepares this program once more, as root of new user, network and mount namespaces, with args behind its own
// name. The caller connects its files, starts it and wraps an error of Start with Explain. The child finds itself
// mapped to this user outside; the network is empty but for lo, which is down.
func Reexec(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		GidMappingsEnableSetgroups: false, // an unprivileged user may map a group only without setgroups(2)
	}
	return cmd
}

// CanAdminister tells whether this process may make network namespaces and devices: nil, or what is missing. It
// tries, in a namespace that is gone at once.
func CanAdminister() error {
	n, err := New()
	if err != nil {
		return err
	}
	return n.Close()
}

// CanOpenTUN tells whether /dev/net/tun may be opened: nil, or why not and what to do. Inside a user namespace it is
// still the file's mode outside that decides.
func CanOpenTUN() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return unix.Close(fd)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return errors.New("there is no /dev/net/tun: load the module (modprobe tun), or give the container the device")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("/dev/net/tun may not be opened by this user (%w): an administrator can allow it with chmod 0666 /dev/net/tun", err)
	}
	return fmt.Errorf("/dev/net/tun: %w", err)
}

// refusal is one way in which systems keep users from making namespaces.
type refusal struct {
	file string // a sysctl, as a path under /proc/sys
	when string // its value that refuses
	why  string
}

var refusals = []refusal{
	{"user/max_user_namespaces", "0", "user namespaces are switched off (sysctl user.max_user_namespaces=0): an administrator can set it to some thousands"},
	{"user/max_net_namespaces", "0", "network namespaces are switched off (sysctl user.max_net_namespaces=0)"},
	{"kernel/unprivileged_userns_clone", "0", "this system lets only root make user namespaces (sysctl kernel.unprivileged_userns_clone=0): set it to 1"},
	{"kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor keeps users from user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=1): set it to 0, or give this program a profile with `userns,`"},
}

// Explain adds to a refusal of the kernel (EPERM, EACCES, ENOSPC, EUSERS, EINVAL) what on this machine is behind it.
// Other errors, and nil, come back as they are.
func Explain(err error) error { return explain(err, "/proc") }

func explain(err error, proc string) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS), errors.Is(err, unix.EINVAL):
	default:
		return err
	}
	for _, r := range refusals {
		b, rerr := os.ReadFile(proc + "/sys/" + r.file)
		if rerr == nil && strings.TrimSpace(string(b)) == r.when {
			return fmt.Errorf("%w: %s", err, r.why)
		}
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return fmt.Errorf("%w: the limit of namespaces is reached (sysctls user.max_user_namespaces, user.max_net_namespaces)", err)
	case filtered(proc):
		return fmt.Errorf("%w: a seccomp filter is active, as in a container: run it with --cap-add NET_ADMIN, --cap-add SYS_ADMIN, or a profile that allows unshare", err)
	}
	return fmt.Errorf("%w: making network namespaces needs CAP_SYS_ADMIN (root, or a user namespace)", err)
}

// filtered tells whether a seccomp filter is active: the usual reason inside containers.
func filtered(proc string) bool {
	b, err := os.ReadFile(proc + "/self/status")
	return err == nil && strings.Contains(string(b), "\nSeccomp:\t2")
}
