package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Zone is what a name server knows. Names are kept in lower case, with the dot at their end.
type Zone struct {
	domain string // "example.org." or "."
	sets   map[set][]record
	names  map[string]bool // that exist, with all names above them
}

// set is what a question asks for.
type set struct {
	name string
	typ  dnsmessage.Type
}

type record struct {
	ttl  uint32
	body dnsmessage.ResourceBody
}

// defaultTTL of records that do not say, in seconds: long enough to be seen, short enough to be waited for.
const defaultTTL = 60

// NewZone begins a zone whose relative names end in domain; "" for none.
func NewZone(domain string) (*Zone, error) {
	d, err := absolute(domain, ".")
	if err != nil {
		return nil, fmt.Errorf("domain: %w", err)
	}
	return &Zone{domain: d, sets: map[set][]record{}, names: map[string]bool{".": true, d: true}}, nil
}

// Add takes a line of a zone file: NAME [TTL] [IN] TYPE DATA. A name, also one in the data, without a dot at its end is
// below the domain; "@" is the domain itself.
func (z *Zone) Add(line string) error {
	name, t, r, err := z.parse(line)
	if err != nil {
		return fmt.Errorf("record %q: %w", line, err)
	}
	k := set{name, t}
	if _, alias := z.sets[set{name, dnsmessage.TypeCNAME}]; alias || t == dnsmessage.TypeCNAME && z.has(name) {
		return fmt.Errorf("record %q: a name with a CNAME has nothing else (RFC 1034 3.6.2)", line)
	}
	z.put(k, r)
	return nil
}

// AddHost gives a host its addresses, forwards and backwards, unless records say something else of its name.
func (z *Zone) AddHost(name string, addrs []netip.Addr) error {
	full, err := absolute(name, z.domain)
	if err != nil {
		return err
	}
	target, err := dnsmessage.NewName(full)
	if err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	said := z.has(full)
	for _, a := range addrs {
		back := set{reverse(a), dnsmessage.TypePTR}
		if len(z.sets[back]) == 0 {
			z.put(back, record{defaultTTL, &dnsmessage.PTRResource{PTR: target}})
		}
		switch {
		case said:
		case a.Is4():
			z.put(set{full, dnsmessage.TypeA}, record{defaultTTL, &dnsmessage.AResource{A: a.As4()}})
		default:
			z.put(set{full, dnsmessage.TypeAAAA}, record{defaultTTL, &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return nil
}

func (z *Zone) put(k set, r record) {
	z.sets[k] = append(z.sets[k], r)
	for n := k.name; !z.names[n]; n = above(n) {
		z.names[n] = true
	}
}

// has tells whether a name has records.
func (z *Zone) has(name string) bool {
	for _, t := range types {
		if len(z.sets[set{name, t}]) > 0 {
			return true
		}
	}
	return false
}

// find gives the records of one type (dnsmessage.TypeALL: of all), and whether the name exists at all.
func (z *Zone) find(name string, t dnsmessage.Type) (out []record, exists bool) {
	if !z.names[name] && above(name) == "." && z.domain != "." {
		// A host's bare name, of a resolver that has no search list.
		name = strings.TrimSuffix(name, ".") + "." + z.domain
	}
	if !z.names[name] {
		up := above(name)
		for !z.names[up] {
			up = above(up)
		}
		if name = "*." + strings.TrimPrefix(up, "."); !z.names[name] { // RFC 4592 3.3.1
			return nil, false
		}
	}
	if t != dnsmessage.TypeALL {
		return z.sets[set{name, t}], true
	}
	for _, t := range types {
		out = append(out, z.sets[set{name, t}]...)
	}
	return out, true
}

// types are those that a zone can have.
var types = []dnsmessage.Type{
	dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME, dnsmessage.TypeMX, dnsmessage.TypeNS,
	dnsmessage.TypePTR, dnsmessage.TypeSRV, dnsmessage.TypeTXT,
}

// ParseType reads "A", "AAAA", "MX", ...
func ParseType(s string) (dnsmessage.Type, error) {
	var names []string
	for _, t := range types {
		name := strings.TrimPrefix(t.String(), "Type")
		if strings.EqualFold(name, s) {
			return t, nil
		}
		names = append(names, name)
	}
	return 0, fmt.Errorf("%q is no type of record that is known here: want %s", s, strings.Join(names, ", "))
}

// above is the name with one label less.
func above(name string) string {
	_, up, _ := strings.Cut(name, ".")
	if up == "" {
		return "."
	}
	return up
}

// absolute makes a name end in the origin, unless it ends with a dot, and checks it (RFC 1035 2.3.4).
func absolute(name, origin string) (string, error) {
	full := strings.ToLower(name)
	switch {
	case name == "@":
		full = origin
	case name == "":
		full = "."
	case !strings.HasSuffix(name, "."):
		full += "." + strings.TrimPrefix(origin, ".")
	}
	if full == "." {
		return full, nil
	}
	if len(full) > 254 {
		return "", fmt.Errorf("name %q: it is longer than 253 bytes", name)
	}
	for _, label := range strings.Split(strings.TrimSuffix(full, "."), ".") {
		if label == "" || len(label) > 63 {
			return "", fmt.Errorf("name %q: each part between dots has 1 to 63 bytes", name)
		}
	}
	return full, nil
}

// reverse is the name under which an address is looked up: 9.2.0.192.in-addr.arpa. (RFC 1035 3.5), or in ip6.arpa.
// (RFC 3596 2.5).
func reverse(a netip.Addr) string {
	b := a.AsSlice()
	slices.Reverse(b)
	var out strings.Builder
	for _, x := range b {
		if a.Is4() {
			fmt.Fprintf(&out, "%d.", x)
		} else {
			fmt.Fprintf(&out, "%x.%x.", x&15, x>>4)
		}
	}
	if a.Is4() {
		return out.String() + "in-addr.arpa."
	}
	return out.String() + "ip6.arpa."
}
