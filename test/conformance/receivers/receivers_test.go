// Package receivers_test runs the code that docs/receivers.md gives to those who
// receive webhooks, in each language that is installed, against real signatures.
package receivers_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/relay/sign"
)

const root = "../../.."

// A language is how a snippet is run: its code and a harness make a program that
// reads a case a line, its parts apart by tabs and the body in base64, and prints
// true or false for each.
type language struct {
	needs   string // program that must be there
	file    string // of the snippet with the harness
	harness string // what the code is followed by; %s in it stands for the code
	run     []string
	module  string // that must be importable, for which make deps is needed
}

var languages = map[string]language{
	"verify go": {
		needs: "go", file: "main.go", run: []string{"go", "run", "main.go"},
		harness: "package main\n\nimport (\n\"bufio\"\n\"fmt\"\n\"os\"\n)\n%s\n" + goMain("Verify"),
	},
	"verify-pair go": {
		needs: "go", file: "main.go", run: []string{"go", "run", "main.go"},
		harness: "package main\n\nimport (\n\"bufio\"\n\"fmt\"\n\"os\"\n)\n%s\n" + goMain("VerifyPair"),
	},
	"verify python":          {needs: "python3", file: "main.py", run: []string{"python3", "main.py"}, harness: "%s\n" + pythonMain("verify")},
	"verify-pair python":     {needs: python(), module: "nacl", file: "main.py", run: []string{python(), "main.py"}, harness: "%s\n" + pythonMain("verify_pair")},
	"verify javascript":      {needs: "node", file: "main.js", run: []string{"node", "main.js"}, harness: "%s\n" + nodeMain("verify")},
	"verify-pair javascript": {needs: "node", file: "main.js", run: []string{"node", "main.js"}, harness: "%s\n" + nodeMain("verifyPair")},
	"verify java":            {needs: "javac", file: "Main.java", run: []string{"java", "Main.java"}, harness: javaMain("Webhooks")},
	"verify-pair java":       {needs: "javac", file: "Main.java", run: []string{"java", "Main.java"}, harness: javaMain("PairWebhooks")},
	"verify ruby": {needs: "ruby", file: "main.rb", run: []string{"ruby", "main.rb"}, harness: "%s\n" + `
STDIN.each_line(chomp: true) do |line|
  secret, id, timestamp, signature, body = line.split("\t", -1)
  puts verify(secret, id, timestamp, signature, body.unpack1("m"))
end`},
	"verify php": {needs: "php", file: "main.php", run: []string{"php", "main.php"}, harness: "%s\n" + `
while (($line = fgets(STDIN)) !== false) {
    [$secret, $id, $timestamp, $signature, $body] = explode("\t", rtrim($line, "\n"));
    echo verify($secret, $id, $timestamp, $signature, base64_decode($body)) ? "true\n" : "false\n";
}`},
	"verify csharp": {needs: "dotnet", file: "Program.cs", run: []string{"dotnet", "run"}, harness: `%s
static class Program
{
    static void Main()
    {
        for (string line; (line = Console.ReadLine()) != null;)
        {
            string[] p = line.Split('\t');
            Console.WriteLine(Webhooks.Verify(p[0], p[1], p[2], p[3], Convert.FromBase64String(p[4])) ? "true" : "false");
        }
    }
}`},
	"verify bash": {needs: "openssl", file: "main.sh", run: []string{"bash", "main.sh"}, harness: "%s\n" + `
while IFS= read -r line; do
  IFS=$'\x1f' read -r secret id timestamp signature body <<<"${line//$'\t'/$'\x1f'}"
  printf %s "$body" | openssl base64 -d -A >body
  if verify "$secret" "$id" "$timestamp" "$signature" body; then echo true; else echo false; fi
done`},
}

func goMain(name string) string {
	return `func main() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		p := strings.Split(in.Text(), "\t")
		body, _ := base64.StdEncoding.DecodeString(p[4])
		fmt.Println(` + name + `(p[0], p[1], p[2], p[3], body))
	}
}
`
}

func pythonMain(name string) string {
	return `
import sys

for line in sys.stdin:
    *parts, body = line.rstrip("\n").split("\t")
    print("true" if ` + name + `(*parts, base64.b64decode(body)) else "false")
`
}

func nodeMain(name string) string {
	return `
for (const line of require("node:fs").readFileSync(0, "utf8").split("\n").slice(0, -1)) {
  const [secret, id, timestamp, signature, body] = line.split("\t");
  console.log(String(` + name + `(secret, id, timestamp, signature, Buffer.from(body, "base64"))));
}
`
}

// javaMain is a program in one file: the class with main must come first, and
// imports before it.
func javaMain(name string) string {
	return `IMPORTS
import java.io.BufferedReader;
import java.io.InputStreamReader;

public class Main {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null;) {
            String[] p = line.split("\t", -1);
            System.out.println(` + name + `.verify(p[0], p[1], p[2], p[3], Base64.getDecoder().decode(p[4])));
        }
    }
}

%s`
}

// python is the interpreter that make deps prepares.
func python() string {
	path, err := filepath.Abs(filepath.Join(root, ".cache/venv/bin/python"))
	if err != nil {
		return "python3"
	}
	return path
}

var block = regexp.MustCompile("(?s)<!-- (verify|verify-pair): ([a-z]+) -->\n```[a-z]+\n(.*?)\n```")

// snippets gives the code of the document by kind and language.
func snippets(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/receivers.md"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		out[m[1]+" "+m[2]] = m[3]
	}
	return out
}

// A request is one webhook with what a receiver should make of it.
type request struct {
	name, key, id, stamp, signature string
	body                            string
	want                            bool
}

func (r *request) line() string {
	return strings.Join([]string{r.key, r.id, r.stamp, r.signature, base64.StdEncoding.EncodeToString([]byte(r.body))}, "\t")
}

const body = `{"specversion":"1.0","id":"msg_1","data":{"alert":{"title":"Zürich „日本語“ 😀 </script> \u0000"}}}`

// requests are webhooks signed with the given keys, of which shown is what the
// receiver knows the last one by, and what may be wrong with them.
func requests(t *testing.T, shown, stranger string, texts ...string) []request {
	t.Helper()
	var keys []sign.Key
	for _, text := range texts {
		k, err := sign.ParseSecret(text)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	made := func(name string, off int, want bool, edit func(r *request)) request {
		unix := time.Now().Unix() + int64(off)
		r := request{name, shown, "msg_01J0", fmt.Sprint(unix), sign.Sign("msg_01J0", unix, []byte(body), keys...), body, want}
		if edit != nil {
			edit(&r)
		}
		return r
	}
	return []request{
		made("as sent", 0, true, nil),
		made("four minutes late", -240, true, nil),
		made("four minutes early", 240, true, nil),
		made("with a scheme of later", 0, true, func(r *request) { r.signature = "v9,AAAA " + r.signature + " v2,BBBB" }),
		made("six minutes late", -360, false, nil),
		made("six minutes early", 360, false, nil),
		made("far future", 0, false, func(r *request) { r.stamp = "99999999999999999999" }),
		made("no time", 0, false, func(r *request) { r.stamp = "" }),
		made("a time that is none", 0, false, func(r *request) { r.stamp = "now" }),
		made("a fraction", 0, false, func(r *request) { r.stamp += ".0" }),
		made("another time", 0, false, func(r *request) { r.stamp = fmt.Sprint(time.Now().Unix() - 1) }),
		made("another id", 0, false, func(r *request) { r.id += "x" }),
		made("another body", 0, false, func(r *request) { r.body += " " }),
		made("no body", 0, false, func(r *request) { r.body = "" }),
		made("another key", 0, false, func(r *request) { r.key = stranger }),
		made("no signature", 0, false, func(r *request) { r.signature = "" }),
		made("cut signature", 0, false, func(r *request) { r.signature = r.signature[:20] }),
		made("signature without its scheme", 0, false, func(r *request) { r.signature = r.signature[strings.LastIndexByte(r.signature, ',')+1:] }),
		made("nonsense", 0, false, func(r *request) { r.signature = "v1,*** v1a,*** v1 v1a , v1, v1a," }),
	}
}

func TestSnippetsOfTheDocument(t *testing.T) {
	all := snippets(t)
	if len(all) != len(languages) {
		t.Errorf("%d blocks of code in docs/receivers.md, but %d are known here", len(all), len(languages))
	}
	one, two, three := sign.NewSecret(), sign.NewPair(), sign.NewPair()
	pair, err := sign.ParseSecret(two)
	if err != nil {
		t.Fatal(err)
	}
	other, err := sign.ParseSecret(three)
	if err != nil {
		t.Fatal(err)
	}
	// As while secrets are changed: the receiver knows the older of two.
	shared := requests(t, one, sign.NewSecret(), sign.NewSecret(), one, two)
	pairs := requests(t, pair.Public(), "whpk_"+strings.TrimPrefix(other.Public(), "whpk_"), one, sign.NewPair(), two)
	for name, l := range languages {
		cases := shared
		if strings.HasPrefix(name, "verify-pair") {
			cases = pairs
		}
		t.Run(name, func(t *testing.T) {
			l.check(t, all[name], cases)
		})
	}
}

func (l language) check(t *testing.T, code string, cases []request) {
	if code == "" {
		t.Fatal("docs/receivers.md has no such block")
	}
	l.there(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, l.file), []byte(l.program(code)), 0o600); err != nil {
		t.Fatal(err)
	}
	l.prepare(t, dir)
	var in bytes.Buffer
	for i := range cases {
		in.WriteString(cases[i].line() + "\n")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.run[0], l.run[1:]...)
	var errs bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, &in, &errs
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GO111MODULE=off")
	out, err := cmd.Output()
	answers := strings.Fields(string(out))
	if err != nil || len(answers) != len(cases) {
		t.Fatalf("%v: %v, %d answers to %d cases: %s\n%s", l.run, err, len(answers), len(cases), out, errs.Bytes())
	}
	for i, c := range cases {
		if want := fmt.Sprint(c.want); answers[i] != want {
			t.Errorf("%s: says %s, want %s", c.name, answers[i], want)
		}
	}
}

// program puts code and harness together.
func (l language) program(code string) string {
	text := l.harness
	if rest, ok := strings.CutPrefix(text, "IMPORTS\n"); ok {
		imports, class, _ := strings.Cut(code, "\nfinal class")
		text, code = imports+"\n"+rest, "final class"+class
	}
	return strings.Replace(text, "%s", code, 1)
}

// prepare makes what a language wants beside its file.
func (l language) prepare(t *testing.T, dir string) {
	if l.needs != "dotnet" {
		return
	}
	const project = `<Project Sdk="Microsoft.NET.Sdk"><PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net8.0</TargetFramework><RollForward>Major</RollForward></PropertyGroup></Project>`
	if err := os.WriteFile(filepath.Join(dir, "receivers.csproj"), []byte(project), 0o600); err != nil {
		t.Fatal(err)
	}
}

// there skips what is not installed, loudly.
func (l language) there(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(l.needs); err != nil {
		t.Skipf("NOT TESTED: %s is not installed", l.needs)
	}
	if l.module == "" {
		return
	}
	if err := exec.CommandContext(t.Context(), l.run[0], "-c", "import "+l.module).Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("Python's %s is not installed; make deps installs it", l.module)
		}
		t.Skipf("NOT TESTED: Python's %s is not installed; to test it run: make deps", l.module)
	}
}
