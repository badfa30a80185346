package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// The files that decide how programs of a host look names up.
const (
	resolvConf = "/etc/resolv.conf"
	nsswitch   = "/etc/nsswitch.conf"
)

// most is how many name servers the C library reads (MAXNS).
const mostServers = 3

// start starts a process in a kernel host. Where the host knows name servers, the process reads of them, and not of this
// machine's.
func (k *kernelHost) start(h *Host, cmd *exec.Cmd) error {
	if h.names.client == nil {
		return k.ns.Start(cmd)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return os.ErrClosed
	}
	if k.covered == nil {
		files := map[string]string{resolvConf: h.resolvConf()}
		switch b, err := os.ReadFile(nsswitch); {
		case err == nil:
			files[nsswitch] = askFilesAndDNS(string(b))
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		var err error
		if k.covered, err = k.ns.Cover(files); err != nil {
			return fmt.Errorf("host %s: name servers: %w", h.Name, err)
		}
	}
	return k.covered.Start(cmd)
}

func (h *Host) resolvConf() string {
	var b strings.Builder
	for i, s := range h.names.client.Servers {
		if i < mostServers {
			fmt.Fprintf(&b, "nameserver %s\n", s)
		}
	}
	search := "."
	if d := h.names.client.Domain; d != "" {
		search = d
	}
	fmt.Fprintf(&b, "search %s\noptions timeout:2 attempts:2\n", search)
	return b.String()
}

// askFilesAndDNS takes other sources of host names out of nsswitch.conf(5): a daemon of this machine would answer for the
// network that it is in.
func askFilesAndDNS(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "hosts:") {
			line = "hosts: files dns\n"
		}
		out.WriteString(line)
	}
	return out.String()
}
