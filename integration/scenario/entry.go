package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Entry is one conntrack entry as /proc/net/nf_conntrack shows it, in a normal form: addresses and numbers in their
// canonical spelling, use= and zone=0 and mark=0 gone.
type Entry struct {
	L3, L4  string
	Timeout int // seconds; 0 where the line has none
	State   string
	Flags   []string          // UNREPLIED, ASSURED, OFFLOAD, ...
	Attrs   map[string]string // mark, zone, ...
	Orig    map[string]string // src, dst, sport, dport, type, code, id, packets, ...
	Reply   map[string]string
}

// ParseEntry reads a line such as
//
//	ipv4     2 udp      17 29 src=192.168.1.10 dst=198.51.100.9 sport=5000 dport=53 [UNREPLIED] src=... mark=0 zone=0 use=2
func ParseEntry(line string) (Entry, error) {
	w := strings.Fields(strings.ReplaceAll(line, ",", " "))
	if len(w) < 6 {
		return Entry{}, fmt.Errorf("not a conntrack entry: %q", line)
	}
	e := Entry{L3: w[0], L4: w[2]}
	w = w[4:]
	if n, err := strconv.Atoi(w[0]); err == nil {
		e.Timeout, w = n, w[1:]
	}
	var tuples []map[string]string
	for _, x := range w {
		k, v, pair := strings.Cut(x, "=")
		switch {
		case x[0] == '[':
			e.Flags = append(e.Flags, strings.Trim(x, "[]"))
		case !pair:
			e.State = x
		case k == "src":
			tuples = append(tuples, map[string]string{k: canonical(v)})
		case isTupleKey(k) && len(tuples) > 0:
			tuples[len(tuples)-1][k] = canonical(v)
		case k == "timeout": // GRE's own timeout, beside what is left; the recorded form has room for one of them
			e.Timeout, _ = strconv.Atoi(v)
		default:
			e.attr(k, v)
		}
	}
	if len(tuples) < 2 {
		return Entry{}, fmt.Errorf("not a conntrack entry (no two tuples): %q", line)
	}
	e.Orig, e.Reply = tuples[0], tuples[1]
	return e, nil
}

// UnmarshalJSON reads the recorded form: an object whose unnamed keys are attributes.
func (e *Entry) UnmarshalJSON(b []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	*e = Entry{}
	for k, raw := range m {
		var err error
		switch k {
		case "l3":
			err = json.Unmarshal(raw, &e.L3)
		case "l4":
			err = json.Unmarshal(raw, &e.L4)
		case "timeout":
			err = json.Unmarshal(raw, &e.Timeout)
		case "state":
			err = json.Unmarshal(raw, &e.State)
		case "flags":
			err = json.Unmarshal(raw, &e.Flags)
		case "orig":
			e.Orig, err = side(raw)
		case "reply":
			e.Reply, err = side(raw)
		default:
			var v any
			if err = json.Unmarshal(raw, &v); err == nil {
				e.attr(k, fmt.Sprint(v))
			}
		}
		if err != nil {
			return fmt.Errorf("conntrack entry: %s: %w", k, err)
		}
	}
	return nil
}

// MarshalJSON writes the recorded form.
func (e Entry) MarshalJSON() ([]byte, error) {
	m := map[string]any{"l3": e.L3, "l4": e.L4, "timeout": e.Timeout, "orig": numbers(e.Orig), "reply": numbers(e.Reply)}
	if e.State != "" {
		m["state"] = e.State
	}
	if len(e.Flags) > 0 {
		m["flags"] = e.Flags
	}
	for k, v := range numbers(e.Attrs) {
		m[k] = v
	}
	return json.Marshal(m)
}

func numbers(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		if n, err := strconv.ParseUint(v, 10, 64); err == nil {
			out[k] = n
		} else {
			out[k] = v
		}
	}
	return out
}

func side(raw json.RawMessage) (map[string]string, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = canonical(strings.Trim(string(v), `"`))
	}
	return out, nil
}

func (e *Entry) attr(k, v string) {
	switch {
	case k == "use" || k == "secctx" || k == "secmark" || (k == "zone" || k == "mark") && v == "0":
		return
	case e.Attrs == nil:
		e.Attrs = map[string]string{}
	}
	e.Attrs[k] = v
}

func isTupleKey(k string) bool {
	switch k {
	case "src", "dst", "sport", "dport", "type", "code", "id", "srckey", "dstkey", "packets", "bytes":
		return true
	}
	return false
}

// canonical gives numbers in decimal and addresses as netip spells them; anything else stays.
func canonical(v string) string {
	if n, err := strconv.ParseUint(v, 0, 64); err == nil {
		return strconv.FormatUint(n, 10)
	}
	if a, err := netip.ParseAddr(v); err == nil {
		return a.String()
	}
	return v
}

// withNames puts "$p" where the value of a bound variable stands: a port or id that was chosen at random shows up only
// as the destination port or the id of the reply tuple.
func (e Entry) withNames(vars map[string]uint64) Entry {
	names := slices.Sorted(maps.Keys(vars))
	reply := make(map[string]string, len(e.Reply))
	for k, v := range e.Reply {
		reply[k] = v
		if k != "dport" && k != "id" {
			continue
		}
		for _, name := range names {
			if v == strconv.FormatUint(vars[name], 10) {
				reply[k] = "$" + name
			}
		}
	}
	e.Reply = reply
	return e
}

// String is the normal form without the timeout: two entries are the same if their texts are.
func (e Entry) String() string {
	b := new(strings.Builder)
	b.WriteString(e.L3 + " " + e.L4)
	if e.State != "" {
		b.WriteString(" " + e.State)
	}
	b.WriteString(" " + tupleText(e.Orig) + " | " + tupleText(e.Reply))
	for _, f := range e.Flags {
		b.WriteString(" [" + f + "]")
	}
	writeSorted(b, e.Attrs)
	return b.String()
}

func tupleText(t map[string]string) string {
	b := new(strings.Builder)
	for _, k := range [...][3]string{{"src", "sport", ">"}, {"dst", "dport", ""}} {
		port, ok := t[k[1]]
		switch {
		case ok && strings.Contains(t[k[0]], ":"):
			b.WriteString("[" + t[k[0]] + "]:" + port)
		case ok:
			b.WriteString(t[k[0]] + ":" + port)
		default:
			b.WriteString(t[k[0]])
		}
		b.WriteString(k[2])
	}
	rest := map[string]string{}
	for k, v := range t {
		switch k {
		case "src", "dst", "sport", "dport":
		default:
			rest[k] = v
		}
	}
	writeSorted(b, rest)
	return b.String()
}

func writeSorted(b *strings.Builder, m map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(" " + k + "=" + m[k])
	}
}
