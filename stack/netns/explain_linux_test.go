package netns

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExplainNamesWhatRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		claim string
		err   error
		files map[string]string // under /proc
		want  string
	}{
		{"AppArmor of Ubuntu 24.04", unix.EPERM, map[string]string{"sys/kernel/apparmor_restrict_unprivileged_userns": "1\n", "sys/user/max_user_namespaces": "100\n"}, "AppArmor"},
		{"Debian's switch", unix.EPERM, map[string]string{"sys/kernel/unprivileged_userns_clone": "0\n"}, "unprivileged_userns_clone=0"},
		{"no user namespaces", unix.ENOSPC, map[string]string{"sys/user/max_user_namespaces": "0\n"}, "max_user_namespaces=0"},
		{"limit reached", unix.ENOSPC, map[string]string{"sys/user/max_user_namespaces": "100\n"}, "limit"},
		{"container", unix.EPERM, map[string]string{"self/status": "Name:\tx\nSeccomp:\t2\n"}, "seccomp"},
		{"plain user", unix.EPERM, nil, "CAP_SYS_ADMIN"},
	}
	for _, tt := range tests {
		proc := t.TempDir()
		for name, content := range tt.files {
			path := filepath.Join(proc, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		err := explain(tt.err, proc)
		if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q in it", tt.claim, err, tt.want)
		}
	}
	if err := explain(unix.EBADF, "/"); err != unix.EBADF {
		t.Errorf("an error that is no refusal: %v", err)
	}
	if explain(nil, "/") != nil {
		t.Error("nil became an error")
	}
}
