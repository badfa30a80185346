package iptables_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moat-router/moat/policy"
	"github.com/moat-router/moat/policy/iptables"
)

// corpusLine is one rule line of iptables' own extension tests with what iptables-legacy-restore and -save made of it.
type corpusLine struct {
	File, Family, Table, Chain, Rule string
	Legacy                           struct {
		OK   bool
		Save []string
	}
}

// leftOut are the modules that moat does not have.
var leftOut = strings.Fields(`cgroup cpu devgroup ipvs osf owner policy rateest realm socket nfacct cluster mac AUDIT
	CONNSECMARK HMARK IDLETIMER LED NFQUEUE RATEEST SECMARK SYNPROXY CLUSTERIP ULOG NFLOG-group bridge arp ebtables l2tp
	ipcomp unclean standard SAME MIRROR dscp-class TPROXY icmp-any srh eui64`)

var corpusModule = regexp.MustCompile(`^lib(xt|ipt|ip6t)_|\.t$`)

// TestCorpusReadsAndPrintsAsIptablesDoes holds the reader against iptables over its extension tests: 99 % of the
// verdicts and 98 % of the normal forms must agree. The lines are not part of this repository (their licence is
// iptables'); MOAT_SYNTAX_CORPUS names a file of them.
func TestCorpusReadsAndPrintsAsIptablesDoes(t *testing.T) {
	path := os.Getenv("MOAT_SYNTAX_CORPUS")
	if path == "" {
		t.Skip("set MOAT_SYNTAX_CORPUS to a file of rule lines with iptables' verdicts to run this")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []corpusLine
	if err := json.Unmarshal(text, &lines); err != nil {
		t.Fatal(err)
	}
	total, agree, saved, same := 0, 0, 0, 0
	for _, l := range lines {
		module := corpusModule.ReplaceAllString(l.File, "")
		if slices.Contains(leftOut, module) {
			continue
		}
		total++
		save, err := roundTrip(l)
		if (err == nil) != l.Legacy.OK {
			t.Logf("%s %s %q: iptables %v, here %v", l.Family, l.File, l.Rule, l.Legacy.OK, err)
			continue
		}
		agree++
		if err != nil {
			continue
		}
		saved++
		if slices.Equal(save, l.Legacy.Save) {
			same++
		} else {
			t.Logf("%s %s %q: iptables saves %q, here %q", l.Family, l.File, l.Rule, l.Legacy.Save, save)
		}
	}
	t.Logf("verdict agrees on %d of %d, normal form on %d of %d", agree, total, same, saved)
	if agree*100 < total*99 || same*100 < saved*98 {
		t.Error("fewer agree than 99 % of the verdicts and 98 % of the normal forms")
	}
}

// roundTrip reads one rule and gives what is printed of it, without -A and the chain.
func roundTrip(l corpusLine) ([]string, error) {
	text := "*" + l.Table + "\n"
	if !slices.Contains([]string{"INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"}, l.Chain) {
		text += ":" + l.Chain + " - [0:0]\n"
	}
	text += "-A " + l.Chain + " " + l.Rule + "\nCOMMIT\n"
	fam := policy.V4
	if l.Family == "v6" {
		fam = policy.V6
	}
	set, err := iptables.Parse(fam, "corpus", []byte(text), iptables.Options{})
	if err != nil {
		return nil, err
	}
	rs, err := iptables.Compile(set, nil, nil, 1)
	if err != nil {
		return nil, err
	}
	save := []string{}
	for line := range strings.Lines(string(iptables.Save(rs, fam, false))) {
		if rest, ok := strings.CutPrefix(line, "-A "+l.Chain); ok {
			save = append(save, strings.TrimSpace(rest))
		}
	}
	return save, nil
}
