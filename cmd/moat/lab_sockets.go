package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/router/control"
	"github.com/moat-router/moat/router/gateway"
)

// labDir names, for programs inside a lab, the directory of its routers' control sockets.
const labDir = "MOAT_LAB"

// labSockets are the control sockets of a lab's routers, in a directory of their own that Close removes. nil is none.
type labSockets struct {
	dir   string
	first string // router
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

// listenInLab has every router of a lab answer what a gateway answers: conntrack, rules, route, link, metrics.
func listenInLab(l *lab.Lab) (s *labSockets, err error) {
	dir, err := os.MkdirTemp("", "moat-lab-")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s = &labSockets{dir: dir, stop: stop}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	started := time.Now().Add(-time.Duration(l.Time()))
	for i := range l.Topology.Routers {
		r := l.Router(l.Topology.Routers[i].Name)
		var listener net.Listener
		if listener, err = control.Listen(s.path(r.Name)); err != nil {
			return s, err
		}
		if s.first == "" {
			s.first = r.Name
		}
		server := control.NewServer(gateway.Backend(r.Router, started), versionText())
		s.wg.Go(func() { server.Serve(ctx, listener) })
	}
	return s, nil
}

// path is a router's socket.
func (s *labSockets) path(router string) string { return filepath.Join(s.dir, router+".sock") }

// env tells programs inside the lab where the sockets are.
func (s *labSockets) env() []string {
	if s == nil || s.first == "" {
		return nil
	}
	return []string{labDir + "=" + s.dir, "MOAT_CONTROL=" + s.path(s.first)}
}

// Close ends the servers and removes the directory.
func (s *labSockets) Close() error {
	s.stop()
	s.wg.Wait()
	return os.RemoveAll(s.dir)
}

// inLab makes of a router's name, inside a lab, the path of its socket; anything else stays as it is.
func inLab(control string) string {
	dir := os.Getenv(labDir)
	if dir == "" || control == "" || strings.Contains(control, "/") {
		return control
	}
	return filepath.Join(dir, control+".sock")
}
