package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// moat runs a command line as a shell would.
func moat(stdin string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

func TestMistakesAreOneSentenceAndExitTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	rules := write("bad.rules", "*filter\n-A FORWARD -j FLY\nCOMMIT\n")
	config := write("bad.yaml", "interfaces:\n  - name: lan\n    addresses: [192.168.1.1/24]\n    speed: 10\n")
	const lan = "interfaces:\n  - {name: lan, addresses: [192.168.1.1/24]}\n"
	inline := write("inline.yaml", lan+"rules:\n  v4: |\n    *filter\n    -A FORWARD -p tcp --dprt 5\n    COMMIT\n")
	unfinished := write("unfinished.yaml", lan+"rules: {v4: bad.rules}\nsets: |\n   create a hash:ip\n   add a 1.2.3.400\n")
	const scenarios = "../../integration/testdata/scenarios"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"fly"}, `unknown command "fly"`},
		{[]string{"--fly"}, "unknown flag: --fly"},
		{[]string{"version", "x"}, `"x"`},
		{[]string{"run"}, "which configuration?"},
		{[]string{"run", "-c", filepath.Join(dir, "none.yaml")}, "none.yaml: "},
		{[]string{"check"}, "which configuration?"},
		{[]string{"check", rules}, "is " + rules + " a configuration"},
		{[]string{"check", "-c", config}, "bad.yaml:4: "},
		{[]string{"check", "-c", inline}, "inline.yaml:6:23: rules.v4: unknown option"},
		{[]string{"check", "-c", unfinished}, "unfinished.yaml: sets:6: "},
		{[]string{"check", "-c", config, "--rules", "v4"}, "give one"},
		{[]string{"check", "--rules", "v4"}, "which rules?"},
		{[]string{"check", "--rules", "v5", rules}, "choose v4 or v6"},
		{[]string{"check", "--rules", "v4", rules}, "bad.rules:2:12: "},
		{[]string{"check", "--rules", "v6", filepath.Join(dir, "none")}, "none: no such file"},
		{[]string{"replay"}, "which scenarios?"},
		{[]string{"replay", "--lockstep", scenarios}, "takes no files"},
		{[]string{"replay", filepath.Join(dir, "none")}, "none: no such file"},
		{[]string{"replay", rules}, "line 1: invalid character"},
		{[]string{"replay", "--only", "(", scenarios}, "missing closing )"},
		{[]string{"replay", "--only", "^none$", scenarios}, `no scenario matches "^none$"`},
		{[]string{"replay", "--no", "fly", scenarios}, `"fly" is not a kind of difference`},
		{[]string{"conntrack", "-L", "--fly"}, "option --fly is unknown"},
		{[]string{"conntrack", "--control"}, "--control needs a path"},
		{[]string{"rules"}, "what about the rules?"},
		{[]string{"rules", "restore", filepath.Join(dir, "none")}, "none: no such file"},
		{[]string{"metrics", "--fly"}, `"--fly" is unknown`},
	} {
		code, out, errs := moat("", tt.args...)
		if code != 2 || out != "" || !strings.HasPrefix(errs, "moat: ") || !strings.Contains(errs, tt.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("moat %s: exit %d, %q, %q; want 2 and one line with %q", strings.Join(tt.args, " "), code, out, errs, tt.want)
		}
	}
}

func TestNoRunningMoatIsExitOne(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "moat.sock")
	for _, args := range []string{"conntrack -L", "rules -S", "rules save", "route", "link", "metrics"} {
		code, out, errs := moat("", append(strings.Fields(args), "--control", socket)...)
		if code != 1 || out != "" || !strings.HasPrefix(errs, "moat: no moat is running on "+socket) {
			t.Errorf("moat %s: exit %d, %q, %q", args, code, out, errs)
		}
	}
}

func TestEveryCommandHelpsWithAnExample(t *testing.T) {
	t.Parallel()
	for _, c := range (&command{}).root().Commands() {
		code, out, errs := moat("", c.Name(), "--help")
		if code != 0 || errs != "" || !strings.Contains(out, "moat "+c.Name()) || c.Name() != "version" && !strings.Contains(out, "Examples:\n") {
			t.Errorf("moat %s --help: exit %d, %q\n%s", c.Name(), code, errs, out)
		}
	}
}

func TestCheckPrintsTheNormalFormThatItAccepts(t *testing.T) {
	t.Parallel()
	code, normal, errs := moat("*filter\n:FORWARD DROP\n-A FORWARD -p tcp --dport 80 -j ACCEPT\nCOMMIT\n", "check", "--rules", "v4", "-")
	if code != 0 || errs != "" || !strings.Contains(normal, "\n-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT\n") {
		t.Fatalf("exit %d, %q\n%s", code, errs, normal)
	}
	if code, again, errs := moat(normal, "check", "--rules", "v4", "-"); code != 0 || again != normal {
		t.Errorf("exit %d, %q\n%s", code, errs, again)
	}
}

func TestCheckAcceptsTheCourse(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if code, out, errs := moat("", "check", "-c", f); code != 0 || errs != "" || !strings.HasPrefix(out, "interfaces:") {
			t.Errorf("%s: exit %d, %q", f, code, errs)
		}
	}
}

func TestTheConfigurationInComposeHolds(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Configs map[string]struct{ Content string }
	}
	if err := yaml.Unmarshal(b, &compose); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "moat.yaml")
	if err := os.WriteFile(file, []byte(compose.Configs["dmz"].Content), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := moat("", "check", "-c", file); code != 0 || !strings.Contains(out, "-A FORWARD -j REJECT") {
		t.Errorf("exit %d, %q\n%s", code, errs, out)
	}
}

func TestReplayTellsWhatDiffers(t *testing.T) {
	t.Parallel()
	const good = "../../integration/testdata/scenarios/A10-dnat-reject-X.json"
	if code, out, errs := moat("", "replay", good); code != 0 || out != "ok   A10-dnat-reject-X\n1 passed, 0 failed\n" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	// A kernel that answers from another address than this one did.
	lie := filepath.Join(t.TempDir(), "lie.json")
	text := strings.Replace(string(b), `"text": "ip4 `, `"text": "not ip4 `, 1)
	text = strings.Replace(text, `"hex": "45c0`, `"hex": "4500`, 1)
	if err := os.WriteFile(lie, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := moat("", "replay", lie)
	for _, want := range []string{"FAIL A10-dnat-reject-X", "- ", "+ ", "0 passed, 1 failed\n"} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, out)
		}
	}
}

func TestLockstepKeepsStandardOutputForAnswers(t *testing.T) {
	t.Parallel()
	in := `{"op":"scenario","name":"x","interfaces":[{"name":"lan","addrs":["192.168.1.1/24"]}]}
{"op":"sleep","ms":1000}
{"op":"fly"}
{"op":"end"}
`
	want := `{"ok":true}
{"out":[],"ct":[],"expect":[],"events":[],"log":[]}
{"error":"unknown op \"fly\""}
{"ok":true}
`
	if code, out, errs := moat(in, "replay", "--lockstep"); code != 0 || out != want || errs != "" {
		t.Errorf("exit %d, %q\n%s", code, errs, out)
	}
}
