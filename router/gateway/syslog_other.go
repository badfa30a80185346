//go:build !unix

package gateway

import "errors"

func openSyslog() (systemLog, error) {
	return nil, errors.New("this system has none: log to stderr or to a file")
}
