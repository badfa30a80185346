package difftest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moat-router/moat/integration/scenario"
	"golang.org/x/sys/unix"
)

// logKnob lets rules of all namespaces write to the kernel's log. It exists in the initial namespace only, and is a
// file to lock as well: the log is one for the whole machine, so a scenario that wants log lines has it to itself during
// each operation, with logging switched on meanwhile, while all others share the lock.
const logKnob = "/proc/sys/net/netfilter/nf_log_all_netns"

// kernelLog is a room's end of the kernel's log.
type kernelLog struct {
	knob int // held open since before the namespace was left; -1 where the kernel has none
	kmsg int // -1 unless the scenario wants log lines
	old  []byte
}

func openKnob() int {
	fd, err := unix.Open(logKnob, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// want makes the room read the log. Called in the namespace: it chooses the loggers of both families there.
func (l *kernelLog) want() (err error) {
	if l.knob < 0 {
		return errors.New("log lines: this kernel has no " + logKnob)
	}
	if l.kmsg, err = unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("/dev/kmsg: %w", err)
	}
	for _, x := range [][2]string{{"2", "nf_log_ipv4"}, {"10", "nf_log_ipv6"}} {
		if err := os.WriteFile("/proc/sys/net/netfilter/nf_log/"+x[0], []byte(x[1]), 0); err != nil {
			return fmt.Errorf("the logger %s: %w", x[1], err)
		}
	}
	return nil
}

// lock begins an operation, unlock ends it.
func (l *kernelLog) lock() error {
	if l.knob < 0 {
		return nil
	}
	how := unix.LOCK_SH
	if l.kmsg >= 0 {
		how = unix.LOCK_EX
	}
	for {
		if err := unix.Flock(l.knob, how); err == nil {
			break
		} else if err != unix.EINTR {
			return fmt.Errorf("locking %s: %w", logKnob, err)
		}
	}
	if l.kmsg < 0 {
		return nil
	}
	l.old = make([]byte, 8)
	n, err := unix.Pread(l.knob, l.old, 0)
	if err == nil {
		l.old = l.old[:n]
		_, err = unix.Pwrite(l.knob, []byte("1"), 0)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", logKnob, err)
	}
	_, err = unix.Seek(l.kmsg, 0, unix.SEEK_END)
	return err
}

func (l *kernelLog) unlock() {
	if l.knob < 0 {
		return
	}
	if l.kmsg >= 0 {
		_, _ = unix.Pwrite(l.knob, l.old, 0)
	}
	_ = unix.Flock(l.knob, unix.LOCK_UN)
}

func (l *kernelLog) close() {
	for _, fd := range []int{l.knob, l.kmsg} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// drain gives what netfilter has written since lock.
func (l *kernelLog) drain() []scenario.LogLine {
	out := []scenario.LogLine{}
	buf := make([]byte, 8192)
	for l.kmsg >= 0 {
		n, err := unix.Read(l.kmsg, buf)
		if err == unix.EPIPE || err == unix.EINTR {
			continue // lines were overwritten before they were read
		}
		if err != nil || n <= 0 {
			break
		}
		// "priority,sequence,time,flags;text\n", and continuation lines.
		head, text, _ := strings.Cut(string(buf[:n]), ";")
		text, _, _ = strings.Cut(text, "\n")
		word, _, _ := strings.Cut(head, ",")
		if level, err := strconv.Atoi(word); err == nil && (strings.Contains(text, "IN=") || strings.Contains(text, "nf_ct_")) {
			out = append(out, scenario.LogLine{Level: level & 7, Msg: text})
		}
	}
	return out
}
