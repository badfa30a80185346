package config

import (
	"path/filepath"

	"github.com/moat-router/moat/router/fib"
	"github.com/moat-router/moat/router/sysctl"
)

// Config is a configuration with its defaults filled in.
type Config struct {
	Interfaces []Interface `mapstructure:"interfaces" yaml:"interfaces"`
	Routes     []string    `mapstructure:"routes" yaml:"routes,omitempty"`     // words of "ip route add"
	IPRules    []string    `mapstructure:"ip_rules" yaml:"ip_rules,omitempty"` // words of "ip rule add", without these
	Rules      Rules       `mapstructure:"rules" yaml:"rules,omitempty"`
	NAT        string      `mapstructure:"nat" yaml:"nat,omitempty"`   // a behaviour, as "full-cone" or "full-cone on wan": one more masquerading rule
	Sets       string      `mapstructure:"sets" yaml:"sets,omitempty"` // "ipset save" text, or a file with it
	Profile    string      `mapstructure:"profile" yaml:"profile"`
	Sysctls    []string    `mapstructure:"sysctls" yaml:"sysctls,omitempty"` // "name=value"

	Conntrack       string `mapstructure:"conntrack" yaml:"conntrack"`               // always, when-used
	Defrag          string `mapstructure:"defrag" yaml:"defrag"`                     // fragments, all
	ICMPTranslation string `mapstructure:"icmp_translation" yaml:"icmp_translation"` // on, off

	Listen  []Listen `mapstructure:"listen" yaml:"listen,omitempty"`
	Log     Log      `mapstructure:"log" yaml:"log"`
	Control string   `mapstructure:"control" yaml:"control,omitempty"` // path of the control socket; "": the user's default
	HTTP    string   `mapstructure:"http" yaml:"http,omitempty"`       // address:port of the metrics; "": none
	Queues  int      `mapstructure:"queues" yaml:"queues"`             // workers and TUN queues; 0: one per processor

	// KernelCompatible keeps TRACE to what the kernel's prints: nothing of RELATED errors. It is a flag of moat run.
	KernelCompatible bool `mapstructure:"-" yaml:"-"`

	// Path is the file and Dir its directory, both as Load was told.
	Path string `mapstructure:"-" yaml:"-"`
	Dir  string `mapstructure:"-" yaml:"-"`
	// V4, V6 and SetsText are the texts that Rules and Sets stand for; empty if there are none.
	V4       Source `mapstructure:"-" yaml:"-"`
	V6       Source `mapstructure:"-" yaml:"-"`
	SetsText Source `mapstructure:"-" yaml:"-"`
	// NATRules is iptables-save text that NAT stands for, to be added to V4; empty if there is none.
	NATRules string `mapstructure:"-" yaml:"-"`

	base   *sysctl.Values
	values *sysctl.Values
	fib    *fib.Builder
}

// Interface is one link of the router.
type Interface struct {
	Name              string   `mapstructure:"name" yaml:"name"` // what -i and -o see
	TUN               string   `mapstructure:"tun" yaml:"tun"`   // the device's name
	MTU               int      `mapstructure:"mtu" yaml:"mtu"`
	RxChecksumOffload bool     `mapstructure:"rx_checksum_offload" yaml:"rx_checksum_offload"`
	Addresses         []string `mapstructure:"addresses" yaml:"addresses,omitempty,flow"` // a.b.c.d/n, x::y/n
	Peer              *Peer    `mapstructure:"peer" yaml:"peer,omitempty"`
}

// Peer is the kernel's end of an interface's TUN.
type Peer struct {
	NetNS     string   `mapstructure:"netns" yaml:"netns,omitempty"` // name, path or pid:N; "": the namespace that moat runs in
	Addresses []string `mapstructure:"addresses" yaml:"addresses,omitempty,flow"`
	Routes    []string `mapstructure:"routes" yaml:"routes,omitempty"`
}

// Rules are iptables-save texts, or the names of files with them.
type Rules struct {
	V4 string `mapstructure:"v4" yaml:"v4,omitempty"`
	V6 string `mapstructure:"v6" yaml:"v6,omitempty"`
}

// Listen is a service of the router itself.
type Listen struct {
	Proto   string `mapstructure:"proto" yaml:"proto"`               // tcp, udp
	Address string `mapstructure:"address" yaml:"address,omitempty"` // "": all of the router's
	Port    int    `mapstructure:"port" yaml:"port"`
	Service string `mapstructure:"service" yaml:"service"` // echo, discard, http
}

// Log says where log lines go.
type Log struct {
	Target string `mapstructure:"target" yaml:"target"` // stderr, file, syslog
	Path   string `mapstructure:"path" yaml:"path,omitempty"`
	Format string `mapstructure:"format" yaml:"format"` // text, json
}

// Source is a text with the name by which errors about it speak.
type Source struct {
	Name string
	Text string
	// File is the configuration where Text is a block of it under Key, indented by so many blanks; else "". Empty lines
	// then stand in front of Text, so that lines are counted alike.
	File, Key string
	Indent    int
}

// Values are the gateway's sysctls with the profile and the file's own on top, for the interfaces of the file.
func (c *Config) Values() *sysctl.Values { return c.values }

// SysctlBase is what the router's sysctls start from, before it has interfaces: the gateway's start, the profile, and what
// the file says of conf.default.
func (c *Config) SysctlBase() *sysctl.Values { return c.base }

// FIB is a Builder with the file's interfaces, addresses, routes and rules; a fresh copy each time.
func (c *Config) FIB() *fib.Builder { return c.fib.Clone() }

// LogPath is the log file; a relative name lies beside the configuration. "" if the log does not go to a file.
func (c *Config) LogPath() string {
	if c.Log.Path == "" || filepath.IsAbs(c.Log.Path) {
		return c.Log.Path
	}
	return filepath.Join(c.Dir, c.Log.Path)
}

// Names are the names of the interfaces with lo in front: index 1 and on.
func (c *Config) Names() []string {
	names := []string{"lo"}
	for _, i := range c.Interfaces {
		names = append(names, i.Name)
	}
	return names
}
