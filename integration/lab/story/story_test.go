package story_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moat-router/moat/integration/lab"
	"github.com/moat-router/moat/integration/lab/story"
	"github.com/moat-router/moat/stack/netns/netnstest"
)

// inBothModes plays a story with virtual hosts, and with the kernel's where that can be.
func inBothModes(t *testing.T, name string, look func(t *testing.T, r *story.Result)) {
	t.Parallel()
	s, err := story.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []lab.Mode{lab.Virtual, lab.Kernel} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			if mode == lab.Kernel {
				netnstest.Need(t)
			}
			r, err := s[0].Play(lab.Options{Mode: mode})
			if err != nil {
				t.Fatal(err)
			}
			if r.Story != name || r.Mode != string(mode) {
				t.Errorf("%s, %s", r.Story, r.Mode)
			}
			look(t, r)
			var out bytes.Buffer
			if err := story.Print(&out, s[0], r); err != nil {
				t.Error(err)
			}
			for _, c := range r.Cases {
				if !strings.Contains(out.String(), c.Name) || !strings.Contains(out.String(), c.Received) {
					t.Errorf("people are not told about %s:\n%s", c.Name, &out)
				}
			}
		})
	}
}

// What Linux does is recorded in scenarios A10 to A13; without translation it is the leak that made people ask.
func TestICMPLeak(t *testing.T) {
	inBothModes(t, "icmp-leak", func(t *testing.T, r *story.Result) {
		want := []struct {
			name, source, quoted string
			leak                 bool
		}{
			{"X", "1.2.3.10", "1.2.3.10", false},
			{"X+snat", "1.2.3.10", "1.2.3.10", false},
			{"Y", "192.168.42.1", "192.168.1.20", true}, // the firewall's own address, which nobody was told
			{"Y+snat", "192.168.42.1", "192.168.1.20", true},
			{"X untranslated", "192.168.42.1", "192.168.1.10", true},
			{"Y untranslated", "192.168.42.1", "192.168.1.20", true},
		}
		if len(r.Cases) != len(want) {
			t.Fatalf("%d cases", len(r.Cases))
		}
		for i, w := range want {
			c := r.Cases[i]
			if c.Name != w.name || c.OuterSource != w.source || c.QuotedDestination != w.quoted || c.Leak != w.leak {
				t.Errorf("%+v, want %+v", c, w)
			}
			if !strings.HasPrefix(c.Received, "ip4 "+w.source+">198.51.100.9") || !strings.Contains(c.Received, "icmp 3/3 / [ip4 198.51.100.9>"+w.quoted) {
				t.Errorf("%s: received %s", c.Name, c.Received)
			}
		}
	})
}

// Scenarios A01, A02, A06 and A09.
func TestFragments(t *testing.T) {
	inBothModes(t, "fragments", func(t *testing.T, r *story.Result) {
		want := []struct {
			name     string
			passes   bool
			rejected uint64
			answer   string
		}{
			{"IPv6 stateless", false, 1, "icmp6 1/4"},
			{"IPv4 stateless", false, 1, ""},
			{"IPv6 conntrack rules", true, 0, ""},
			{"IPv4 conntrack rules", true, 0, ""},
			{"IPv6 stateless, always", true, 0, ""},
			{"IPv4 stateless, always", true, 0, ""},
		}
		if len(r.Cases) != len(want) {
			t.Fatalf("%d cases", len(r.Cases))
		}
		for i, w := range want {
			c := r.Cases[i]
			if c.Name != w.name || *c.Delivered != w.passes || *c.Rejected != w.rejected {
				t.Errorf("%s: delivered %v, rejected %d; want %+v", c.Name, *c.Delivered, *c.Rejected, w)
			}
			if (w.answer == "") != (c.Received == "") || !strings.Contains(c.Received, w.answer) {
				t.Errorf("%s: the outside host received %q, want %q", c.Name, c.Received, w.answer)
			}
			if n := strings.Count(c.Sent, "\n"); n != 1 {
				t.Errorf("%s: sent %q, want two fragments", c.Name, c.Sent)
			}
		}
	})
}

func TestJSONHasTheAgreedNames(t *testing.T) {
	t.Parallel()
	s, _ := story.Find("icmp-leak")
	r, err := s[0].Play(lab.Options{Mode: lab.Virtual})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Story, Mode string
		Cases       []map[string]any
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"name", "sent", "received", "outer_source", "quoted_destination", "leak"} {
		if _, ok := v.Cases[0][key]; !ok {
			t.Errorf("no %q in %s", key, b)
		}
	}
	if v.Story != "icmp-leak" || v.Mode != "virtual" {
		t.Errorf("%s", b)
	}
}

func TestCapturesOfEveryInterface(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := lab.NewCaptures(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range story.All() {
		if _, err := s.Play(lab.Options{Mode: lab.Virtual, Captures: c}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"outside.eth0", "X.eth0", "Y.eth0", "fw.wan", "fw.lan"} {
		b, err := os.ReadFile(filepath.Join(dir, name+".pcapng"))
		saw := bytes.Contains(b, []byte("fragments, stateless"))
		if err != nil || saw == (name == "Y.eth0") {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}

func TestUnknownStoriesAreExplained(t *testing.T) {
	t.Parallel()
	if _, err := story.Find("ike"); err == nil || !strings.Contains(err.Error(), "icmp-leak, fragments") {
		t.Error(err)
	}
}
