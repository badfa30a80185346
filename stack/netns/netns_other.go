//go:build !linux

package netns

import "os/exec"

// NS is a network namespace. There is none on this system; the type exists so that callers build.
type NS struct{}

// The functions and methods, which only report ErrUnsupported.
func Current() (*NS, error)                 { return nil, ErrUnsupported }
func New() (*NS, error)                     { return nil, ErrUnsupported }
func Open(string) (*NS, error)              { return nil, ErrUnsupported }
func Create(string) (*NS, error)            { return nil, ErrUnsupported }
func OpenOrCreate(string) (*NS, error)      { return nil, ErrUnsupported }
func CanAdminister() error                  { return ErrUnsupported }
func FindWay() (Way, error)                 { return Nowhere, ErrUnsupported }
func FindNamespaces() (Way, error)          { return Nowhere, ErrUnsupported }
func CanOpenTUN() error                     { return ErrUnsupported }
func Explain(err error) error               { return err }
func Reexec(args ...string) *exec.Cmd       { return &exec.Cmd{Err: ErrUnsupported} }
func Processes(...*NS) ([]int, error)       { return nil, ErrUnsupported }
func EndProcesses(...*NS) error             { return ErrUnsupported }
func (*NS) Name() string                    { return "" }
func (*NS) Fd() int                         { return -1 }
func (*NS) Path() string                    { return "" }
func (*NS) Created() bool                   { return false }
func (*NS) Release() error                  { return nil }
func (*NS) Close() error                    { return nil }
func (*NS) Do(func() error) error           { return ErrUnsupported }
func (*NS) Start(*exec.Cmd) error           { return ErrUnsupported }
func (*NS) Configure(string, Config) error  { return ErrUnsupported }
func (*NS) Sysctl(name, value string) error { return ErrUnsupported }
