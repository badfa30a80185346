package packet

import (
	"fmt"
	"strings"
)

// dependents are the checksums that are zeroed together with a field in Canon.
var dependents = map[string]string{
	"ip.id": "ip.csum", "ip.opts": "ip.csum", "ip.ttl": "ip.csum",
	"tcp.seq": "tcp.csum", "tcp.ack": "tcp.csum", "tcp.win": "tcp.csum", "tcp.sport": "tcp.csum", "tcp.dport": "tcp.csum",
	"udp.sport": "udp.csum", "udp.dport": "udp.csum", "icmp.id": "icmp.csum",
}

// Canon gives a copy of a datagram in which the fields that mask names, and the checksums that depend on them, are
// zeroed: two packets that differ only there become equal. Compare the validity of the checksums apart (Walk), or a
// wrong one hides behind the mask. A mask that names a field of the quoted packet zeroes the ICMP checksum around it.
func Canon(b []byte, mask []string) []byte {
	zero := map[string]bool{}
	for _, m := range mask {
		zero[m] = true
		name, inner := strings.CutPrefix(m, "inner.")
		pre := m[:len(m)-len(name)]
		if d := dependents[name]; d != "" {
			zero[pre+d] = true
		}
		if inner {
			zero["icmp.csum"] = true
		}
	}
	out := append([]byte(nil), b...)
	seen := map[string]bool{}
	for _, f := range Walk(b).Fields {
		if zero[f.Name] && !seen[f.Name] && f.Off < len(out) {
			clear(out[f.Off:min(f.Off+f.Len, len(out))])
		}
		seen[f.Name] = true
	}
	return out
}

// Get reads a field of a datagram by its name.
func Get(b []byte, name string) (uint64, error) {
	w := Walk(b)
	for _, f := range w.Fields {
		if f.Name != name {
			continue
		}
		var v uint64
		for i := f.Off; i < min(f.Off+f.Len, len(b)); i++ {
			v = v<<8 | uint64(b[i])
		}
		return v, nil
	}
	return 0, fmt.Errorf("packet: no field %q in %s", name, w.Text)
}

// Diff names the fields in which two datagrams differ; false if they differ elsewhere, too, or in length.
func Diff(a, b []byte) (names []string, ok bool) {
	if len(a) != len(b) {
		return nil, false
	}
	differs := make([]bool, len(a))
	n := 0
	for i := range a {
		if a[i] != b[i] {
			differs[i] = true
			n++
		}
	}
	for _, f := range Walk(a).Fields {
		hit := false
		for i := f.Off; i < min(f.Off+f.Len, len(a)); i++ {
			if differs[i] {
				differs[i], hit = false, true
				n--
			}
		}
		if hit {
			names = append(names, f.Name)
		}
	}
	return names, n == 0
}
