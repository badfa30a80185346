package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// parse reads a line of a zone file.
func (z *Zone) parse(line string) (name string, t dnsmessage.Type, r record, err error) {
	f, err := words(line)
	if err != nil {
		return "", 0, r, err
	}
	if len(f) < 3 {
		return "", 0, r, errors.New("want NAME [TTL] TYPE DATA, as \"www A 192.0.2.1\"")
	}
	if name, err = absolute(f[0], z.domain); err != nil {
		return "", 0, r, err
	}
	f = f[1:]
	r.ttl = defaultTTL
	if n, err := strconv.ParseUint(f[0], 10, 31); err == nil {
		r.ttl, f = uint32(n), f[1:]
	}
	if len(f) > 0 && strings.EqualFold(f[0], "IN") {
		f = f[1:]
	}
	if len(f) == 0 {
		return "", 0, r, errors.New("it has no type")
	}
	if t, err = ParseType(f[0]); err != nil {
		return "", 0, r, err
	}
	r.body, err = z.body(t, f[1:])
	return name, t, r, err
}

// words cuts a line at its spaces; quotes keep together.
func words(line string) (out []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] == '"' {
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			out, line = append(out, line[1:1+end]), line[end+2:]
			continue
		}
		end := strings.IndexAny(line, " \t")
		if end < 0 {
			end = len(line)
		}
		out, line = append(out, line[:end]), line[end:]
	}
	return out, nil
}

// shapes are what the data of a type is made of, for people.
var shapes = map[dnsmessage.Type][]string{
	dnsmessage.TypeA: {"ADDRESS"}, dnsmessage.TypeAAAA: {"ADDRESS"}, dnsmessage.TypeCNAME: {"NAME"}, dnsmessage.TypeNS: {"NAME"},
	dnsmessage.TypePTR: {"NAME"}, dnsmessage.TypeMX: {"PREFERENCE", "NAME"}, dnsmessage.TypeSRV: {"PRIORITY", "WEIGHT", "PORT", "NAME"},
}

func (z *Zone) body(t dnsmessage.Type, f []string) (dnsmessage.ResourceBody, error) {
	if t == dnsmessage.TypeTXT {
		for _, s := range f {
			if len(s) > 255 {
				return nil, errors.New("a string of TXT has at most 255 bytes; write several")
			}
		}
		if len(f) == 0 {
			return nil, errors.New("want TXT \"TEXT\"")
		}
		return &dnsmessage.TXTResource{TXT: f}, nil
	}
	shape := shapes[t]
	if len(f) != len(shape) {
		return nil, fmt.Errorf("want %s %s", strings.TrimPrefix(t.String(), "Type"), strings.Join(shape, " "))
	}
	if t == dnsmessage.TypeA || t == dnsmessage.TypeAAAA {
		return address(t, f[0])
	}
	var n [4]uint16
	for i, s := range f[:len(f)-1] {
		v, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%s %q: want a number from 0 to 65535", strings.ToLower(shape[i]), s)
		}
		n[i] = uint16(v)
	}
	full, err := absolute(f[len(f)-1], z.domain)
	if err != nil {
		return nil, err
	}
	name, err := dnsmessage.NewName(full)
	if err != nil {
		return nil, err
	}
	switch t {
	case dnsmessage.TypeCNAME:
		return &dnsmessage.CNAMEResource{CNAME: name}, nil
	case dnsmessage.TypeNS:
		return &dnsmessage.NSResource{NS: name}, nil
	case dnsmessage.TypePTR:
		return &dnsmessage.PTRResource{PTR: name}, nil
	case dnsmessage.TypeMX:
		return &dnsmessage.MXResource{Pref: n[0], MX: name}, nil
	}
	return &dnsmessage.SRVResource{Priority: n[0], Weight: n[1], Port: n[2], Target: name}, nil
}

func address(t dnsmessage.Type, s string) (dnsmessage.ResourceBody, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err == nil && t == dnsmessage.TypeA && a.Is4():
		return &dnsmessage.AResource{A: a.As4()}, nil
	case err == nil && t == dnsmessage.TypeAAAA && a.Is6() && a.Zone() == "":
		return &dnsmessage.AAAAResource{AAAA: a.As16()}, nil
	}
	return nil, fmt.Errorf("%q is no address of %s", s, map[bool]string{true: "IPv4", false: "IPv6"}[t == dnsmessage.TypeA])
}

// Data is what a record says, as in a zone file: "192.0.2.1", "10 mail.example.org.".
func Data(b dnsmessage.ResourceBody) string {
	switch b := b.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(b.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(b.AAAA).String()
	case *dnsmessage.CNAMEResource:
		return b.CNAME.String()
	case *dnsmessage.NSResource:
		return b.NS.String()
	case *dnsmessage.PTRResource:
		return b.PTR.String()
	case *dnsmessage.MXResource:
		return fmt.Sprintf("%d %s", b.Pref, b.MX)
	case *dnsmessage.SRVResource:
		return fmt.Sprintf("%d %d %d %s", b.Priority, b.Weight, b.Port, b.Target)
	case *dnsmessage.TXTResource:
		return strings.Join(b.TXT, "")
	}
	return b.GoString()
}
