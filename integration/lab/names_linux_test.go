package lab_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

// output runs a program in a host.
func output(t *testing.T, h *lab.Host, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.Command(path, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestProgramsInAHostAskItsNameServer(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	before, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Skip("this machine has no /etc/resolv.conf to cover")
	}
	n := lab.New(t).Kernel()
	laptop, far := split(n)
	for _, tt := range []struct {
		host *lab.HostConf
		args []string
		want string
	}{
		{laptop, []string{"cat", "/etc/resolv.conf"}, "nameserver 192.168.1.53\nsearch example.org\n"},
		{laptop, []string{"getent", "ahostsv4", "www"}, "192.168.1.80"},
		{far, []string{"getent", "ahostsv4", "www.example.org"}, "203.0.113.1"},
		{laptop, []string{"dig", "+short", "www.example.org"}, "web.example.org.\n192.168.1.80\n"},
		{laptop, []string{"dig", "+short", "+tcp", "@192.168.1.53", "-x", "192.168.1.10"}, "laptop.example.org.\n"},
		{far, []string{"curl", "-s", "http://www.example.org/"}, "hello from moat"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			if got := output(t, tt.host.Get(), tt.args[0], tt.args[1:]...); !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	if after, _ := os.ReadFile("/etc/resolv.conf"); string(after) != string(before) {
		t.Error("this machine's own resolv.conf has changed")
	}
}
