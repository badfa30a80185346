package xt

import (
	"strings"
	"testing"

	"github.com/moat-router/moat/policy"
)

// Linux has these helpers for these families and protocols; iptables 1.8.9 refuses the others.
func TestHelperBelongsToAFamilyAndAProtocol(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		fam  policy.Family
		line string
		want string // what the error says; "" for none
	}{
		{policy.V4, "-p tcp -j CT --helper ftp", ""},
		{policy.V6, "-p tcp -j CT --helper ftp", ""},
		{policy.V4, "-p tcp -j CT --helper irc", ""},
		{policy.V6, "-p tcp -j CT --helper irc", "only IPv4"},
		{policy.V6, "-p udp -j CT --helper amanda", ""},
		{policy.V4, "-p udp -j CT --helper ftp", "needs -p tcp"},
		{policy.V4, "-p tcp -j CT --helper tftp", "needs -p udp"},
		{policy.V4, "-j CT --helper ftp", "needs -p"},
		{policy.V4, "! -p tcp -j CT --helper ftp", "needs -p"},
		{policy.V4, "-p tcp -j CT --helper none", "no helper"},
		{policy.V6, "-p tcp -j CT --notrack --helper irc", ""}, // exempted: nobody asks
	} {
		_, _, _, err := parseRule(t, nil, x.fam, policy.Raw, x.line)
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.line, err, x.want)
		}
	}
}
