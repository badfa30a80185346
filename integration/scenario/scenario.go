package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Scenario is one file: a router, what happens to it, and (if it was recorded) what a kernel did.
type Scenario struct {
	Name  string `json:"name"`
	Group string `json:"group,omitempty"`
	Why   string `json:"why,omitempty"` // the source: an RFC clause, a bug report, a paper
	Router
	Steps    []Step     `json:"steps"`
	Expected []Expected `json:"expected,omitempty"` // one per step
	Recorded *Recorded  `json:"recorded,omitempty"`

	// File is where it was loaded from, for messages.
	File string `json:"-"`
}

// Router describes the machine under test.
type Router struct {
	Interfaces []Interface `json:"interfaces"`
	Routes     []string    `json:"routes,omitempty"`  // arguments of "ip route add"
	Sysctls    Sysctls     `json:"sysctls,omitempty"` // on top of the lockstep defaults
	Rules      Rules       `json:"rules"`
	Setup      []string    `json:"setup,omitempty"` // ip commands, run before the rules are loaded
	Events     bool        `json:"events,omitempty"`
	Log        bool        `json:"log,omitempty"`
}

// Interface is a layer 3 link, point to point, up, without neighbours to resolve.
type Interface struct {
	Name        string    `json:"name"`
	MTU         int       `json:"mtu,omitempty"` // bytes; 0: 1500
	Addrs       []Address `json:"addrs,omitempty"`
	CsumOffload bool      `json:"csum_offload,omitempty"` // what arrives counts as checked by a NIC
	Offload     bool      `json:"offload,omitempty"`      // the device takes super-segments and partial checksums
}

// Address is "192.168.1.1/24", or with a peer "192.168.1.1" and "192.168.2.1/32".
type Address struct{ Local, Peer string }

// UnmarshalJSON takes "addr/n" or ["addr", "peer"].
func (a *Address) UnmarshalJSON(b []byte) error {
	*a = Address{}
	if err := json.Unmarshal(b, &a.Local); err == nil {
		return nil
	}
	var pair []string
	if err := json.Unmarshal(b, &pair); err != nil || len(pair) != 2 {
		return fmt.Errorf(`an address is "a.b.c.d/n" or ["addr", "peer"], not %s`, b)
	}
	a.Local, a.Peer = pair[0], pair[1]
	return nil
}

// MarshalJSON is the inverse of UnmarshalJSON.
func (a Address) MarshalJSON() ([]byte, error) {
	if a.Peer == "" {
		return json.Marshal(a.Local)
	}
	return json.Marshal([2]string{a.Local, a.Peer})
}

// Sysctl is one kernel parameter by its Linux name.
type Sysctl struct{ Name, Value string }

// Sysctls keep the order of the file: net.ipv4.conf.all.* written after one interface's value changes that one, too.
type Sysctls []Sysctl

// UnmarshalJSON reads a JSON object in order; values may be strings or numbers.
func (s *Sysctls) UnmarshalJSON(b []byte) error {
	*s = nil
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("sysctls are an object of names and values, not %s", b)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return err
		}
		switch v := value.(type) {
		case string:
			*s = append(*s, Sysctl{name.(string), v})
		case json.Number:
			*s = append(*s, Sysctl{name.(string), v.String()})
		default:
			return fmt.Errorf("sysctl %s: a value is a string or a number", name)
		}
	}
	return nil
}

// MarshalJSON writes the object in order.
func (s Sysctls) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, x := range s {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(x.Name)
		value, _ := json.Marshal(x.Value)
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// Rules are iptables-save texts; "" leaves the family alone.
type Rules struct {
	V4 string `json:"v4,omitempty"`
	V6 string `json:"v6,omitempty"`
}

// Step is one thing that happens. Op is inject, sleep, rules, sysctl, ct_flush, host or listen.
type Step struct {
	Op      string          `json:"op"`
	If      string          `json:"if,omitempty"`  // inject
	Pkt     Texts           `json:"pkt,omitempty"` // inject: packet notation
	Offload                 // inject
	Bind    map[string]Bind `json:"bind,omitempty"`
	Note    string          `json:"note,omitempty"`
	MS      int64           `json:"ms,omitempty"` // sleep
	V4      string          `json:"v4,omitempty"` // rules
	V6      string          `json:"v6,omitempty"`
	NoFlush bool            `json:"noflush,omitempty"`
	Set     Sysctls         `json:"set,omitempty"`   // sysctl
	Cmd     string          `json:"cmd,omitempty"`   // host
	Proto   string          `json:"proto,omitempty"` // listen
	Addr    string          `json:"addr,omitempty"`
	Port    int             `json:"port,omitempty"`
}

// Bind gives a name to a value that the router chooses: the field of the Out-th packet of the step.
type Bind struct {
	Out   int       `json:"out"`
	Field string    `json:"field"`
	Range [2]uint64 `json:"range"` // both ends included; zero: anything
}

// UnmarshalJSON fills in the widest range where none is given.
func (b *Bind) UnmarshalJSON(j []byte) error {
	type plain Bind
	p := plain{Range: [2]uint64{0, 1 << 32}}
	if err := json.Unmarshal(j, &p); err != nil {
		return err
	}
	*b = Bind(p)
	return nil
}

// Texts is one string or a list of them.
type Texts []string

// UnmarshalJSON takes both forms.
func (t *Texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = Texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// Expected is what a kernel did in one step. Events and Log are nil where the scenario does not ask for them.
type Expected struct {
	InjectHex []string         `json:"inject_hex,omitempty"` // the exact bytes injected
	Out       []ExpectedPacket `json:"out"`
	CT        []Entry          `json:"ct"`
	Expect    []string         `json:"expect,omitempty"`
	Events    []Event          `json:"events,omitempty"`
	Log       []LogLine        `json:"log,omitempty"`
}

// ExpectedPacket is a packet that left.
type ExpectedPacket struct {
	If   string           `json:"if"`
	Text string           `json:"text"`          // for people
	GSO  int              `json:"gso,omitempty"` // of a super-segment: bytes of payload in each segment
	Mask []string         `json:"mask"`          // fields that nobody can predict
	Hex  string           `json:"hex"`           // canonical bytes
	Sums map[string]*bool `json:"sums"`          // validity of every checksum; null: cannot be verified
}

// Recorded says where the expectations come from, and holds the counters at the end.
type Recorded struct {
	Kernel   string                         `json:"kernel"`
	Counters map[string]map[string][]string `json:"counters"` // family, table: "[packets:bytes] -A ..."
}

// Load reads scenario files and directories of them (*.json, in order of name). A file holds one scenario or a list.
func Load(paths ...string) ([]*Scenario, error) {
	var list []*Scenario
	for _, p := range paths {
		files := []string{p}
		if st, err := os.Stat(p); err != nil {
			return nil, fmt.Errorf("%s: %w", p, plainPathError(err))
		} else if st.IsDir() {
			if files, err = filepath.Glob(filepath.Join(p, "*.json")); err != nil {
				return nil, err
			}
			if len(files) == 0 {
				return nil, fmt.Errorf("%s: no scenario files (*.json) in this directory", p)
			}
			sort.Strings(files)
		}
		for _, f := range files {
			l, err := loadFile(f)
			if err != nil {
				return nil, err
			}
			list = append(list, l...)
		}
	}
	return list, nil
}

func loadFile(file string) ([]*Scenario, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, plainPathError(err))
	}
	l, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, s := range l {
		s.File = file
	}
	return l, nil
}

// Parse reads the text of one scenario file.
func Parse(b []byte) ([]*Scenario, error) {
	var list []*Scenario
	var err error
	if t := bytes.TrimLeft(b, " \t\r\n"); len(t) > 0 && t[0] == '[' {
		err = json.Unmarshal(b, &list)
	} else {
		s := new(Scenario)
		err = json.Unmarshal(b, s)
		list = []*Scenario{s}
	}
	if err != nil {
		return nil, placed(b, err)
	}
	for i, s := range list {
		switch {
		case s == nil || s.Name == "":
			return nil, fmt.Errorf("scenario %d has no name: is this a scenario file?", i+1)
		case len(s.Interfaces) == 0:
			return nil, fmt.Errorf("%s: no interfaces", s.Name)
		case s.Expected != nil && len(s.Expected) != len(s.Steps):
			return nil, fmt.Errorf("%s: %d steps, but expectations for %d", s.Name, len(s.Steps), len(s.Expected))
		}
		for i, st := range s.Steps {
			if s.Expected != nil && st.Op == "inject" && len(st.Pkt) != len(s.Expected[i].InjectHex) {
				return nil, fmt.Errorf("%s: step %d has %d packets, but bytes of %d", s.Name, i, len(st.Pkt), len(s.Expected[i].InjectHex))
			}
		}
	}
	return list, nil
}

// placed says on which line of the text JSON went wrong.
func placed(b []byte, err error) error {
	at := int64(-1)
	var syn *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syn):
		at = syn.Offset
	case errors.As(err, &typ):
		at = typ.Offset
	case errors.Is(err, io.ErrUnexpectedEOF):
		at = int64(len(b))
	}
	if at < 0 || at > int64(len(b)) {
		return err
	}
	return fmt.Errorf("line %d: %s", 1+bytes.Count(b[:at], []byte{'\n'}), strings.TrimPrefix(err.Error(), "json: "))
}

func plainPathError(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
