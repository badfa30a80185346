package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/moat-router/moat/"

// rule says what packages under From must not import. Names are relative to the module; a name with a dot in its first
// part is a foreign module's.
type rule struct {
	from   []string // prefixes of packages
	not    []string // ... that are exempt
	forbid []string // prefixes of imports
	allow  []string // ... that are exempt
	why    string
}

var rules = []rule{
	{from: []string{"stack"}, forbid: []string{"policy", "router", "integration", "cmd"}, why: "stack knows bytes, not decisions"},
	{from: []string{"policy"}, forbid: []string{"stack"}, allow: []string{"stack/packet"}, why: "policy sees packets and nothing else of stack"},
	{from: []string{"policy"}, forbid: []string{"router", "integration", "cmd"}, why: "router alone knows both sides"},
	{from: []string{"policy/conntrack"}, forbid: []string{"policy"}, allow: []string{"policy/conntrack"}, why: "conntrack is below nat and the rules"},
	{from: []string{"policy/nat"}, forbid: []string{"policy"}, allow: []string{"policy/nat", "policy/conntrack"}, why: "nat is below the rules"},
	{from: []string{"policy/helper"}, forbid: []string{"policy"}, allow: []string{"policy/helper", "policy/nat", "policy/conntrack"}, why: "helpers know connections and their NAT, not rules"},
	{from: []string{"stack/packet"}, forbid: []string{"stack"}, allow: []string{"stack/packet"}, why: "packet is what everything stands on"},
	{from: []string{"router"}, forbid: []string{"integration", "cmd"}, why: "the router does not know who runs it"},
	{from: []string{"integration"}, forbid: []string{"cmd"}, why: "commands are thin and nobody's library"},
	{from: []string{""}, not: []string{"stack"}, forbid: []string{"gvisor.dev/gvisor/pkg/tcpip/stack", "gvisor.dev/gvisor/pkg/tcpip/transport", "gvisor.dev/gvisor/pkg/tcpip/network",
		"gvisor.dev/gvisor/pkg/tcpip/adapters", "gvisor.dev/gvisor/pkg/tcpip/link"}, why: "only stack/ knows gVisor's stack (its header and checksum packages are everybody's)"},
	{from: []string{""}, not: []string{"stack"}, forbid: []string{"github.com/songgao/water"}, why: "only stack/ opens devices"},
	{from: []string{""}, not: []string{"router/config"}, forbid: []string{"github.com/spf13/viper"}, why: "one file reads the configuration"},
	{from: []string{""}, not: []string{"cmd"}, forbid: []string{"github.com/spf13/cobra"}, why: "flags are the command's business"},
}

type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Dir          string
	Doc          string
	GoFiles      []string
}

func packages(t *testing.T, env ...string) []pkg {
	t.Helper()
	if testing.Short() {
		t.Skip("listing packages needs the go command and its caches: left out of short runs")
	}
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports,Dir,Doc,GoFiles", "./...")
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("the go command is not here to list packages: %v", err)
	}
	var list []pkg
	d := json.NewDecoder(out)
	for {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("no packages: the test looks in the wrong place")
	}
	return list
}

// under tells whether a package is one of those, or below one of them. "" is every package of the module.
func under(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if p == "" || name == p || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	return false
}

// broken gives the rule that an import breaks, if any.
func broken(from, imported string) (why string, ok bool) {
	for _, r := range rules {
		if under(from, r.from) && !under(from, r.not) && under(imported, r.forbid) && !under(imported, r.allow) {
			return r.why, true
		}
	}
	return "", false
}

func TestImportsFollowTheArrows(t *testing.T) {
	t.Parallel()
	for _, system := range []string{"linux", "darwin"} {
		for _, p := range packages(t, "GOOS="+system) {
			from := strings.TrimPrefix(p.ImportPath, module)
			for _, i := range p.Imports {
				if why, bad := broken(from, strings.TrimPrefix(i, module)); bad {
					t.Errorf("%s: %s imports %s: %s", system, from, i, why)
				}
			}
		}
	}
}

func TestOneFileImportsViper(t *testing.T) {
	t.Parallel()
	var files []string
	for _, p := range packages(t) {
		for _, f := range p.GoFiles {
			b, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), `"github.com/spf13/viper"`) {
				files = append(files, filepath.Join(p.Dir, f))
			}
		}
	}
	if len(files) > 1 {
		t.Errorf("viper is imported by %v: one file is enough", files)
	}
}

// A package of one file may say what it is there.
func TestEveryPackageHasADocGo(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 || len(p.GoFiles) == 1 && p.Doc != "" || strings.HasPrefix(p.ImportPath, module+"cmd/") {
			continue
		}
		if _, err := os.Stat(filepath.Join(p.Dir, "doc.go")); err != nil {
			t.Errorf("%s has no doc.go", p.ImportPath)
		}
	}
}

func TestTheRulesCatchWhatTheyForbid(t *testing.T) {
	t.Parallel()
	for _, bad := range [][2]string{
		{"stack/link", "policy"}, {"stack/link", "policy/nat"}, {"policy/xt", "stack/defrag"}, {"policy", "router"},
		{"policy/conntrack", "policy/nat"}, {"policy/nat", "policy"}, {"router", "integration/scenario"},
		{"router", "gvisor.dev/gvisor/pkg/tcpip/stack"}, {"cmd/moat", "github.com/songgao/water"},
		{"cmd/moat", "github.com/spf13/viper"}, {"integration/scenario", "github.com/spf13/cobra"},
	} {
		if _, caught := broken(bad[0], bad[1]); !caught {
			t.Errorf("%s may import %s", bad[0], bad[1])
		}
	}
	for _, good := range [][2]string{
		{"policy/xt", "policy/nat"}, {"policy", "stack/packet"}, {"router", "stack/defrag"}, {"router", "policy"},
		{"policy/nat", "policy/conntrack"}, {"stack/defrag", "gvisor.dev/gvisor/pkg/tcpip/stack"},
		{"policy/conntrack", "gvisor.dev/gvisor/pkg/tcpip/header"}, {"router/config", "github.com/spf13/viper"}, {"cmd/moat", "github.com/spf13/cobra"},
	} {
		if why, caught := broken(good[0], good[1]); caught {
			t.Errorf("%s may not import %s: %s", good[0], good[1], why)
		}
	}
}
