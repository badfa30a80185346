package netns

import "errors"

// Errors of this package.
var (
	ErrUnsupported = errors.New("network namespaces are a feature of Linux")
	ErrExists      = errors.New("the namespace exists")
	ErrNotExist    = errors.New("there is no such namespace")
)

// Dir is where named namespaces are kept, as by ip netns.
const Dir = "/run/netns"

// Config furnishes one interface of a namespace. The zero value changes nothing.
type Config struct {
	MTU       int      // bytes; 0 leaves it
	Addresses []string // "192.168.42.2/24", "fd00::2/64", "10.0.0.1 peer 10.0.0.2/32"
	Up        bool
	Routes    []string // words of ip route add; the interface is the default for dev
	Sysctls   []string // "net.ipv4.conf.all.forwarding=1"
}

// Way is how a process can have network namespaces with TUN devices in them.
type Way uint8

// The ways.
const (
	Nowhere         Way = iota // only networks in memory (stack/link, stack/host)
	Here                       // in this process
	InUserNamespace            // in a child that Reexec makes
)

func (w Way) String() string {
	return [...]string{"nowhere", "here", "in a user namespace"}[w]
}
