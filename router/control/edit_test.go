package control

import (
	"strings"
	"testing"

	"github.com/moat-router/moat/policy/conntrack"
	"github.com/moat-router/moat/router/control/ctfmt"
)

// A flow that conntrack v1.4.7 -I made on kernel 6.18, as its -L -o save prints it: with full addresses and all ports.
func TestNewFlowsSaveAsConntrackToolsDo(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 53 --dport 54 -t 30":                                                                 "-s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p udp --sport 53 --dport 54 --reply-port-src 54 --reply-port-dst 53",
		"-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 53 --dport 60 -t 30 --dst-nat 1.2.3.5:99":                                            "-s 10.0.0.1 -d 10.0.0.2 -g 1.2.3.5 -q 10.0.0.1 -p udp --sport 53 --dport 60 --reply-port-src 99 --reply-port-dst 53",
		"-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 53 --dport 61 -t 30 -n 1.2.3.4:1000 -g 1.2.3.5":                                      "-s 10.0.0.1 -d 10.0.0.2 -g 1.2.3.5 -n 1.2.3.4 -p udp --sport 53 --dport 61 --reply-port-src 61 --reply-port-dst 1000",
		"-p udp -s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.9 -q 10.0.0.8 --sport 53 --dport 58 --reply-port-src 99 --reply-port-dst 98 -t 30": "-s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.9 -q 10.0.0.8 -p udp --sport 53 --dport 58 --reply-port-src 99 --reply-port-dst 98",
		"-p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 77 -t 30":                                             "-s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 77",
		"-p tcp -s fd00::1 -d fd00::2 --sport 5 --dport 6 --state LISTEN -t 30":                                                      "-s fd00::1 -d fd00::2 -r fd00::2 -q fd00::1 -p tcp --sport 5 --dport 6 --reply-port-src 6 --reply-port-dst 5 --state SYN_SENT2",
		"-p sctp -s 10.0.0.1 -d 10.0.0.2 --sport 5 --dport 7 --state ESTABLISHED --orig-vtag 5 --reply-vtag 6 -t 30":                 "-s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p sctp --sport 5 --dport 7 --reply-port-src 7 --reply-port-dst 5 --state ESTABLISHED --orig-vtag 5 --reply-vtag 6",
		"-p gre -s 10.0.0.1 -d 10.0.0.2 --srckey 0x5 --dstkey 6 -t 30":                                                               "-s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p gre --srckey 5 --dstkey 6 --reply-key-src 6 --reply-key-dst 5",
		"-p esp -s 10.0.0.1 -d 10.0.0.2 -t 30":                                                                                       "-s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p 50",
		"-p dccp -s 10.0.0.1 -d 10.0.0.2 --sport 5 --dport 7 --role client -t 30":                                                    "-s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p dccp",
		"-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 53 --dport 63 -t 30 -w 7":                                                            "-w 7 -s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p udp --sport 53 --dport 63 --reply-port-src 63 --reply-port-dst 53",
	} {
		f := newFake()
		f.flows = nil
		path := serve(t, f)
		if code, _, errs := call(t, path, &Request{Do: "conntrack", Args: strings.Fields("-I " + words)}); code != 0 || errs != "moat: 1 flow entries have been created.\n" {
			t.Errorf("%s: code %d, %s", words, code, errs)
			continue
		}
		_, out, _ := call(t, path, &Request{Do: "conntrack", Args: []string{"-L", "-o", "save"}})
		if out != "-A -t 30 -u UNSET "+want+"\n" {
			t.Errorf("%s\n got %swant -A -t 30 -u UNSET %s", words, out, want)
		}
	}
}

func TestANewFlowNeedsEverything(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"-I": "needs -p", "-I -p udp": "--src and --dst", "-I -p udp -s 1.2.3.4 -d 1.2.3.5 --sport 1 --dport 2": "--timeout",
		"-I -p udp -s 1.2.3.4 -d 1.2.3.5 --sport 1 -t 5":                        "--sport and --dport",
		"-I -p tcp -s 1.2.3.4 -d 1.2.3.5 --sport 1 --dport 2 -t 5":              "--state",
		"-I -p tcp -s 1.2.3.4 -d 1.2.3.5 --sport 1 --dport 2 -t 5 --state OPEN": "no state",
		"-I -p icmp -s 1.2.3.4 -d 1.2.3.5 -t 5":                                 "--icmp-type",
		"-I -p icmp -s 1.2.3.4 -d 1.2.3.5 --icmp-type 3 --icmp-code 1 -t 5":     "nobody answers",
		"-I -p 50 -s 1.2.3.0/24 -d 1.2.3.5 -t 5":                                "not the network",
		"-I -p 50 -s 1.2.3.4 -d fd00::1 -t 5":                                   "another family",
		"-I -p 50 -s 1.2.3.4 -d 1.2.3.5 -t 5 -j 1.2.3.4":                        "--any-nat",
		"-I -p 50 -s 1.2.3.4 -d 1.2.3.5 -t 5 -u CONFIRMED":                      "can be set",
		"-I -p 50 -s 1.2.3.4 -d 1.2.3.5 -t 5 --label-del":                       "-U",
		"-I expect -p 50":     "helpers make",
		"-L -t 5":             "goes with -I, -A and -U",
		"-D -z":               "-L",
		"-U -u CONFIRMED":     "can be set",
		"-L -o save,id":       "cannot be combined",
		"-F dying":            "does not know table",
		"-R":                  "needs a value",
		"-R f -p udp":         "cannot stand with -R",
		"-L --srckey 5":       "needs -p gre",
		"-L -p tcp --state X": "no state",
	} {
		if _, err := ParseQuery(strings.Fields(words)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

func TestAnUpdateKeepsTheFilterApartFromTheChange(t *testing.T) {
	t.Parallel()
	f := newFake()
	path := serve(t, f)
	code, out, errs := call(t, path, &Request{Do: "conntrack", Args: strings.Fields("-U -p udp -f ipv4 -m 0x1/0xf -u ASSURED,SEEN_REPLY -t 77 --label-add 5 --label-del")})
	if code != 0 || !strings.HasPrefix(out, "udp      17 30 src=192.168.1.10") || strings.Count(out, "\n") != 1 || errs != "moat: 1 flow entries have been updated.\n" {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
	c := f.changed
	if c.Mark != 1 || c.MarkMask != 15 || c.Status != conntrack.StatusAssured|conntrack.StatusSeenReply || c.Timeout.Seconds() != 77 || len(c.SetLabels) != 1 || len(c.DropLabels) != 128 {
		t.Errorf("%+v", c)
	}
	if code, _, errs := call(t, path, &Request{Do: "conntrack", Args: []string{"-U", "-p", "sctp", "-m", "1"}}); code != 1 || errs != "moat: 0 flow entries have been updated.\n" {
		t.Errorf("code %d, %s", code, errs)
	}
}

func TestAFileOfFlowsIsReadBeforeItIsRun(t *testing.T) {
	t.Parallel()
	f := newFake()
	path := serve(t, f)
	const flow = "-A -t 29 -u UNSET -s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p udp --sport 53 --dport 155 --reply-port-src 155 --reply-port-dst 53\n"
	for in, want := range map[string]string{
		flow + "-A bogus\n": "flows:2: \"bogus\" is not a table", flow + "\n# twice\n-L\n": "flows:4: -L cannot stand in a file", "-X\n": "flows:1: option -X is unknown",
	} {
		code, _, errs := call(t, path, &Request{Do: "conntrack", Args: []string{"-R", "flows"}, In: in, Name: "flows"})
		if code != 2 || !strings.Contains(errs, want) || len(f.flows) != 4 {
			t.Errorf("code %d, %d flows, %s, want %q", code, len(f.flows), errs, want)
		}
	}
	code, out, errs := call(t, path, &Request{Do: "conntrack", Args: []string{"-R", "flows"}, In: "conntrack " + flow + flow + "-D -p icmp\n", Name: "flows"})
	if code != 0 || errs != "" || len(f.flows) != 4 {
		t.Errorf("code %d, %d flows\n%s%s", code, len(f.flows), out, errs)
	}
	if code, _, errs := call(t, path, &Request{Do: "conntrack", Args: strings.Fields("-I" + flow[2:])}); code != 1 || !strings.Contains(errs, "exists") {
		t.Errorf("code %d, %s", code, errs)
	}
}

func TestSaveSpeaksOfStatusAndZones(t *testing.T) {
	t.Parallel()
	f := ctfmt.Flow{
		Orig: tuple(17, "10.0.0.1", "10.0.0.2", 53, 64), Reply: tuple(17, "10.0.0.2", "10.0.0.1", 64, 53), Timeout: 29, Zone: 8, ZoneDir: conntrack.ZoneOrig,
		Status: conntrack.StatusSeenReply | conntrack.StatusAssured | conntrack.StatusFixedTimeout | conntrack.StatusConfirmed,
	}
	want := "-D -t 29 -u SEEN_REPLY,ASSURED,FIXED_TIMEOUT --orig-zone 8 -s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p udp --sport 53 --dport 64 --reply-port-src 64 --reply-port-dst 53"
	if got := string(ctfmt.AppendSave(nil, &f, "-D")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
