//go:build unix

package gateway

import "log/syslog"

func openSyslog() (systemLog, error) {
	return syslog.New(syslog.LOG_KERN|syslog.LOG_WARNING, "moat")
}
