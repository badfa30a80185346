package sysctl

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Setting is a sysctl and its value as text.
type Setting struct{ Name, Value string }

// Set gives a copy with one value changed. name is in dots or slashes; value is text as for sysctl(8).
func (v *Values) Set(name, value string) (*Values, error) {
	r, dev, err := v.find(name)
	if err != nil {
		return nil, err
	}
	if r.readOnly {
		return nil, fmt.Errorf("sysctl %s cannot be written (%s)", name, r.note)
	}
	value = strings.TrimSpace(value)
	n := *v
	n.devs = slices.Clone(v.devs)
	if r.at == nil && r.conf == nil {
		if _, err := r.parse(value); err != nil {
			return nil, fmt.Errorf("sysctl %s: %w", name, err)
		}
		n.inert = maps.Clone(v.inert)
		if n.inert == nil {
			n.inert = map[string]string{}
		}
		n.inert[expand(r.name, dev)] = value
		return &n, nil
	}
	if err := r.write(&n, dev, value); err != nil {
		return nil, fmt.Errorf("sysctl %s: %w", name, err)
	}
	if err := n.consistent(r); err != nil {
		return nil, fmt.Errorf("sysctl %s: %w", name, err)
	}
	n.spread(r, dev, v)
	return &n, nil
}

// Get gives the value as text; ok is false for a name that is not known.
func (v *Values) Get(name string) (value string, ok bool) {
	r, dev, err := v.find(name)
	if err != nil {
		return "", false
	}
	return v.text(r, dev), true
}

// List gives all settings, with every interface's, in the order of the documentation.
func (v *Values) List() []Setting {
	var out []Setting
	for i := range rows {
		r := &rows[i]
		if !strings.Contains(r.name, "*") {
			out = append(out, Setting{r.name, v.text(r, "")})
			continue
		}
		for _, dev := range append([]string{"all", "default"}, v.names...) {
			out = append(out, Setting{expand(r.name, dev), v.text(r, dev)})
		}
	}
	return out
}

func expand(name, dev string) string { return strings.Replace(name, "*", dev, 1) }

// find finds the row and the interface of a name.
func (v *Values) find(name string) (*row, string, error) {
	plain, dev, known := canonical(name)
	for i := range rows {
		if rows[i].name != plain {
			continue
		}
		if known && dev != "all" && dev != "default" && !slices.Contains(v.names, dev) {
			return nil, "", fmt.Errorf("sysctl %s: there is no interface %q", name, dev)
		}
		return &rows[i], dev, nil
	}
	return nil, "", fmt.Errorf("there is no sysctl %q here%s", name, v.suggest(plain, dev))
}

// canonical puts a name into dots and takes the interface out of it: interfaces may have dots in their names.
func canonical(name string) (plain, dev string, isConf bool) {
	sep := "."
	if slash := strings.Index(name, "/"); slash >= 0 {
		if dot := strings.Index(name, "."); dot < 0 || slash < dot {
			sep = "/"
		}
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		head := strings.Join([]string{"net", family, "conf", ""}, sep)
		rest, ok := strings.CutPrefix(name, head)
		if !ok {
			continue
		}
		if i := strings.LastIndex(rest, sep); i > 0 {
			dev = rest[:i]
			if sep == "." {
				dev = strings.ReplaceAll(dev, "/", ".") // sysctl(8): the other separator stands for a dot in a name
			}
			return "net." + family + ".conf.*." + rest[i+1:], dev, true
		}
	}
	if sep == "/" {
		name = strings.ReplaceAll(name, "/", ".")
	}
	return name, "", false
}

// write parses value into the field of r.
func (r *row) write(v *Values, dev, value string) error {
	x, err := r.parse(value)
	if err != nil {
		return err
	}
	var field any
	if r.conf != nil {
		field = r.conf(v.confOf(dev))
	} else {
		field = r.at(v)
	}
	switch f := field.(type) {
	case *int:
		*f = int(x.(int64))
	case *bool:
		*f = x.(int64) != 0
	case *uint8:
		*f = uint8(x.(int64))
	case *uint32:
		*f = uint32(x.(int64))
	case *time.Duration:
		unit := time.Second
		if r.unit == millis {
			unit = time.Millisecond
		}
		*f = time.Duration(x.(int64)) * unit
	case *string:
		*f = x.(string)
	case *[2]int:
		*f = x.([2]int)
	case *[4]uint64:
		*f = x.([4]uint64)
	default:
		panic(fmt.Sprintf("sysctl: field of type %T", field))
	}
	return nil
}

// parse checks a value.
func (r *row) parse(value string) (any, error) {
	switch r.unit {
	case ports:
		return parsePorts(value)
	case bitmap:
		return parseBitmap(value)
	case logger:
		if value != "NONE" && value != "nf_log_ipv4" && value != "nf_log_ipv6" && value != "nf_log_syslog" && value != "nfnetlink_log" {
			return nil, fmt.Errorf("%q is not a logger: NONE, nf_log_ipv4, nf_log_ipv6, nf_log_syslog or nfnetlink_log", value)
		}
		return value, nil
	}
	n, err := strconv.ParseInt(value, 0, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is not a number", value)
	}
	if n < r.min || n > r.max {
		return nil, fmt.Errorf("%d is not in %d to %d", n, r.min, r.max)
	}
	return n, nil
}

func parsePorts(value string) (any, error) {
	f := strings.Fields(value)
	if len(f) != 2 {
		return nil, fmt.Errorf("%q is not two port numbers", value)
	}
	a, err1 := strconv.Atoi(f[0])
	b, err2 := strconv.Atoi(f[1])
	if err1 != nil || err2 != nil || a < 1 || b > 65535 || a > b {
		return nil, fmt.Errorf("%q is not two port numbers, the smaller first", value)
	}
	return [2]int{a, b}, nil
}

func parseBitmap(value string) (any, error) {
	var set [4]uint64
	if value == "" {
		return set, nil
	}
	for _, part := range strings.Split(value, ",") {
		lo, hi, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(lo)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(hi)
		}
		if err != nil || a < 0 || b > 255 || a > b {
			return nil, fmt.Errorf("%q is not a list of types like 0-1,3-127", value)
		}
		for ; a <= b; a++ {
			set[a>>6] |= 1 << (a & 63)
		}
	}
	return set, nil
}

// consistent checks what Linux checks between two values: the low threshold is not above the high one.
func (v *Values) consistent(r *row) error {
	if !strings.HasSuffix(r.name, "_thresh") {
		return nil
	}
	for _, f := range []Frag{v.Frag4, v.Frag6, v.FragCT6} {
		if f.Low > f.High {
			return fmt.Errorf("the low threshold (%d) would be above the high one (%d)", f.Low, f.High)
		}
	}
	return nil
}

// spread is what "all" means beyond itself: forwarding and disable_ipv6 set every interface and the default. IPv4 does so
// only if "all" was something else before (devinet_sysctl_forward).
func (v *Values) spread(r *row, dev string, before *Values) {
	set := func(field func(*Conf) *int) {
		x := *field(&v.All)
		*field(&v.Default) = x
		for i := range v.devs {
			*field(&v.devs[i]) = x
		}
	}
	switch {
	case r.name == "net.ipv4.ip_forward", r.name == "net.ipv4.conf.*.forwarding" && dev == "all":
		if v.All.Forwarding != before.All.Forwarding {
			set(func(c *Conf) *int { return &c.Forwarding })
		}
	case r.name == "net.ipv6.conf.*.forwarding" && dev == "all":
		set(func(c *Conf) *int { return &c.Forwarding6 })
		for i := range v.devs {
			if v.All.Forwarding6 == 0 { // takes what interfaces were allowed on their own (addrconf_forward_change)
				v.devs[i].ForceForwarding6 = 0
			}
		}
	case r.name == "net.ipv6.conf.*.disable_ipv6" && dev == "all":
		set(func(c *Conf) *int { return &c.DisableIPv6 })
	case r.name == "net.ipv6.conf.*.force_forwarding" && dev == "all":
		set(func(c *Conf) *int { return &c.ForceForwarding6 })
	}
}

func (v *Values) confOf(dev string) *Conf {
	switch dev {
	case "all":
		return &v.All
	case "default":
		return &v.Default
	}
	return &v.devs[slices.Index(v.names, dev)]
}

// text is the value as Linux prints it.
func (v *Values) text(r *row, dev string) string {
	var field any
	switch {
	case r.conf != nil:
		field = r.conf(v.confOf(dev))
	case r.at != nil:
		field = r.at(v)
	default:
		if s, ok := v.inert[expand(r.name, dev)]; ok {
			return s
		}
		if dev != "all" && dev != "default" && dev != "" {
			return v.text(r, "default")
		}
		return r.initial(dev)
	}
	switch f := field.(type) {
	case *int:
		return strconv.Itoa(*f)
	case *bool:
		if *f {
			return "1"
		}
		return "0"
	case *uint8:
		return strconv.Itoa(int(*f))
	case *uint32:
		return strconv.Itoa(int(int32(*f)))
	case *time.Duration:
		if r.unit == millis {
			return strconv.FormatInt(f.Milliseconds(), 10)
		}
		return strconv.FormatInt(int64(*f/time.Second), 10)
	case *string:
		return *f
	case *[2]int:
		return fmt.Sprintf("%d\t%d", f[0], f[1])
	case *[4]uint64:
		return bitmapText(f)
	}
	panic(fmt.Sprintf("sysctl: field of type %T", field))
}

func (r *row) initial(dev string) string {
	if dev == "all" && r.all != "" {
		return r.all
	}
	return r.linux
}

func bitmapText(set *[4]uint64) string {
	has := func(i int) bool { return i < 256 && set[i>>6]>>(i&63)&1 != 0 }
	var parts []string
	for i := 0; i < 256; i++ {
		if !has(i) {
			continue
		}
		j := i
		for has(j + 1) {
			j++
		}
		if i == j {
			parts = append(parts, strconv.Itoa(i))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", i, j))
		}
		i = j
	}
	return strings.Join(parts, ",")
}
