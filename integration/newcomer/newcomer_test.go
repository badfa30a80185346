package newcomer

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/moat-router/moat/stack/netns/netnstest"
)

// page is the README's section on labs.
func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, labs, ok := strings.Cut(string(b), "\n## Labs\n")
	labs, _, _ = strings.Cut(labs, "\n## ")
	if !ok {
		t.Fatal("the README has no section on labs")
	}
	return labs
}

// block is the first fenced block of a language.
func block(t *testing.T, text, language string) string {
	t.Helper()
	_, text, ok := strings.Cut(text, "```"+language+"\n")
	text, _, end := strings.Cut(text, "```\n")
	if !ok || !end {
		t.Fatalf("the README shows no %s", language)
	}
	return text
}

// session is a command of the README with what it prints: indented lines, the first of which begins with "$ ".
func session(t *testing.T, text, command string) (words, prints string) {
	t.Helper()
	_, text, ok := strings.Cut(text, "    $ "+command)
	if !ok {
		t.Fatalf("the README does not run %s", command)
	}
	rest, text, _ := strings.Cut(text, "\n")
	var out strings.Builder
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(line, "    ")
		if !ok {
			break
		}
		out.WriteString(line)
	}
	return command + rest, out.String()
}

// differs are the parts of an output that are another in every run.
var differs = regexp.MustCompile(`\b([sd]port=\d{5}|(\d+ )?(ESTABLISHED|FIN_WAIT|CLOSE_WAIT|LAST_ACK|TIME_WAIT)|\d+\.\d+s)\b`)

func same(t *testing.T, command, got, want string) {
	t.Helper()
	if g, w := differs.ReplaceAllString(got, "…"), differs.ReplaceAllString(want, "…"); g != w {
		t.Errorf("%s prints\n%s\nthe README shows\n%s", command, g, w)
	}
}

// checkout is where this module is. The README has it at ../moat; under its own name the go command knows what it has
// compiled already.
func checkout(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// home is a directory with the files that the README shows.
func home(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("the go command and its caches are needed: left out of short runs")
	}
	if out, err := exec.Command("go", "version").CombinedOutput(); err != nil {
		t.Skipf("there is no go command here: %v %s", err, out)
	}
	dir, text := t.TempDir(), page(t)
	for name, content := range map[string]string{"home.yaml": block(t, text, "yaml"), "home_test.go": block(t, text, "go")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shell runs a line in a directory, with path before PATH, and gives what it prints on standard output.
func shell(t *testing.T, dir, path, line string) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+path+string(os.PathListSeparator)+os.Getenv("PATH"), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOWORK=off", "PWD="+dir)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", line, err, out, &errs)
	}
	return string(out)
}

// moat builds the command and gives the directory that it is in.
func moat(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	shell(t, checkout(t), "", "go build -buildvcs=false -o "+filepath.Join(bin, "moat")+" ./cmd/moat")
	return bin
}

func TestTopologyOfTheREADMETestsAsItShows(t *testing.T) {
	t.Parallel()
	dir := home(t)
	command, want := session(t, page(t), "go run ./cmd/moat lab home.yaml test")
	line := strings.Replace(command, "home.yaml", filepath.Join(dir, "home.yaml"), 1)
	same(t, command, shell(t, checkout(t), "", line), want)
}

func TestProgramInAHostOfTheREADMEPrintsWhatItShows(t *testing.T) {
	t.Parallel()
	netnstest.Need(t)
	if _, err := exec.LookPath("curl"); err != nil {
		netnstest.Skip(t, "curl is not installed here")
	}
	dir := home(t)
	command, want := session(t, page(t), "moat lab home.yaml exec")
	same(t, command, shell(t, dir, moat(t), command), want)
}

func TestGoTestOfTheREADMERunsInAnEmptyModule(t *testing.T) {
	t.Parallel()
	dir := home(t)
	text := page(t)
	_, setup, _ := strings.Cut(text, "    go mod init")
	setup, _, _ = strings.Cut(setup, "\n")
	if !strings.Contains(setup, "../moat") {
		t.Fatalf("the README replaces the module by %q, and not by a checkout at ../moat", setup)
	}
	shell(t, dir, "", "go mod init"+strings.ReplaceAll(setup, "../moat", checkout(t)))
	command, want := session(t, text, "go mod tidy && go test")
	got := shell(t, dir, "", command)
	got, _, _ = strings.Cut(got, "PASS\nok ") // the README shows the test alone
	same(t, command, got, want)
	if raceEnabled {
		shell(t, dir, "", "go test -race .")
	}
}
