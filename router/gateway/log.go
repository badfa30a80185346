package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/moat-router/moat/router/config"
	"github.com/moat-router/moat/stack/packet"
)

// logger writes what rules and conntrack log: to stderr, a file or syslog, as text or JSON. Only rules limit how much.
type logger struct {
	mu     sync.Mutex
	w      io.Writer
	sys    systemLog
	file   *os.File
	json   bool
	stamps bool // text to a file has the time in front; a terminal or a container's log has its own
	buf    []byte
}

func newLogger(cfg *config.Config, stderr io.Writer) (*logger, error) {
	l := &logger{w: stderr, json: cfg.Log.Format == "json"}
	switch cfg.Log.Target {
	case "file":
		f, err := os.OpenFile(cfg.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		l.w, l.file, l.stamps = f, f, true
	case "syslog":
		s, err := openSyslog()
		if err != nil {
			return nil, fmt.Errorf("log: syslog: %w", err)
		}
		l.sys = s
	}
	return l, nil
}

// line is router.Config.Log.
func (l *logger) line(_ packet.Time, level uint8, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sys != nil {
		toSyslog(l.sys, level, string(text))
		return
	}
	b := l.buf[:0]
	switch {
	case l.json:
		j, _ := json.Marshal(struct {
			Time  time.Time `json:"time"`
			Level uint8     `json:"level"`
			Msg   string    `json:"msg"`
		}{time.Now().UTC(), level, string(text)})
		b = append(b, j...)
	case l.stamps:
		b = time.Now().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00 ")
		b = append(b, text...)
	default:
		b = append(b, text...)
	}
	l.buf = append(b, '\n')
	l.w.Write(l.buf)
}

// systemLog is syslog.Writer, which does not exist on every system.
type systemLog interface {
	Emerg(string) error
	Alert(string) error
	Crit(string) error
	Err(string) error
	Warning(string) error
	Notice(string) error
	Info(string) error
	Debug(string) error
	Close() error
}

func toSyslog(w systemLog, level uint8, s string) {
	f := [...]func(string) error{w.Emerg, w.Alert, w.Crit, w.Err, w.Warning, w.Notice, w.Info, w.Debug}
	f[level&7](s)
}

func (l *logger) close() error {
	if l.sys != nil {
		return l.sys.Close()
	}
	if l.file != nil {
		return l.file.Close()
	}
	return nil
}
