package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moat-router/moat/stack/netns/netnstest"
)

// Who has no privilege gets kernel hosts in a user namespace, and sees the same.
func TestCourseHoldsWithoutPrivilege(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	files, err := filepath.Glob("../../configs/labs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("the course of labs is not where it was: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "{advance:") {
			continue // kernel hosts live in real time
		}
		for as, devices := range map[string]string{"tun": "TUN devices", "nothing": "pairs of Ethernet devices"} {
			t.Run(filepath.Base(file)+" on "+devices, func(t *testing.T) {
				t.Parallel()
				cmd, out, errs := labProcess(t, as, file, "test", "--hosts", "kernel")
				err := cmd.Run()
				if err != nil || strings.Contains(out.String(), "\nnot ok") || !strings.Contains(out.String(), "\nok 1 - ") {
					t.Errorf("%v\n%s%s", err, out, errs)
				}
				if !strings.Contains(errs.String(), "kernel hosts on "+devices+", in a user and network namespace of their own") {
					t.Errorf("it says %q", errs)
				}
			})
		}
	}
}
