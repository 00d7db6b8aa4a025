package deploy

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"
)

// An instruction of a Dockerfile.
type instruction struct{ name, rest string }

// stages gives the instructions of each stage, in order.
func stages(t *testing.T) (all [][]instruction) {
	t.Helper()
	text := strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		if name == "FROM" {
			all = append(all, nil)
		}
		if len(all) == 0 {
			t.Fatalf("Dockerfile begins with %q", line)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{name, rest})
	}
	return all
}

// last gives what the final image has of an instruction.
func last(t *testing.T, name string) string {
	t.Helper()
	all := stages(t)
	found := ""
	for _, i := range all[len(all)-1] {
		if i.name == name {
			found = i.rest
		}
	}
	if found == "" {
		t.Fatalf("the image has no %s", name)
	}
	return found
}

func list(t *testing.T, text string) (words []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &words); err != nil {
		t.Fatalf("%s is no list of words, which needs no shell: %v", text, err)
	}
	return words
}

func TestImageIsSmallAndHarmless(t *testing.T) {
	all := stages(t)
	if len(all) != 2 || all[1][0].rest != "scratch" {
		t.Fatalf("the image is made from %v, want scratch", all[len(all)-1][0])
	}
	user := last(t, "USER")
	if uid, gid, _ := strings.Cut(user, ":"); uid == "" || strings.HasPrefix(uid, "0") || strings.HasPrefix(gid, "0") || strings.ContainsAny(user, "abcdefghijklmnopqrstuvwxyz") {
		t.Errorf("the image runs as %q, want a number that is not root's", user)
	}
	static := slices.ContainsFunc(all[0], func(i instruction) bool {
		return i.name == "RUN" && strings.Contains(i.rest, "CGO_ENABLED=0 go build") && strings.Contains(i.rest, "-X main.version=")
	})
	if !static {
		t.Error("the program is not built static with its version")
	}
	entry := list(t, last(t, "ENTRYPOINT"))
	copied := slices.ContainsFunc(all[1], func(i instruction) bool { return i.name == "COPY" && strings.HasSuffix(i.rest, " "+entry[0]) })
	if len(entry) != 1 || !copied {
		t.Errorf("the entry point %v is not in the image", entry)
	}
	for _, ignored := range []string{".git", ".env", "tocsin-data", ".cache"} {
		if !slices.Contains(strings.Fields(read(t, ".dockerignore")), ignored) {
			t.Errorf("%s goes into the build, and so may get into the image's history", ignored)
		}
	}
}

// The image's ports, folders and health check are those that docker-compose.yml
// uses.
func TestImageFitsCompose(t *testing.T) {
	_, listen, _ := strings.Cut(last(t, "ENV"), "TOCSIN_SERVER_LISTEN=")
	port := last(t, "EXPOSE")
	if listen != ":"+port {
		t.Errorf("the hub listens on %s and the image exposes %s", listen, port)
	}
	check, found := strings.CutPrefix(last(t, "HEALTHCHECK")[strings.Index(last(t, "HEALTHCHECK"), "CMD"):], "CMD ")
	words := list(t, check)
	if !found || words[0] != list(t, last(t, "ENTRYPOINT"))[0] || words[1] != "health" || words[3] != "http://127.0.0.1:"+port {
		t.Errorf("the health check is %v, want the program itself at port %s", words, port)
	}
	c, env := readCompose(t), up(t, t.TempDir())
	for name, s := range c.Services {
		if s.Build == nil {
			continue
		}
		for _, p := range s.Ports {
			if !strings.HasSuffix(p, ":"+port) {
				t.Errorf("%s: %s leads to another port than %s", name, p, port)
			}
		}
		mounted := map[string]bool{}
		for _, v := range s.Volumes {
			mounted[strings.Split(v, ":")[1]] = true
		}
		for _, dir := range strings.Fields(last(t, "VOLUME")) {
			if !mounted[dir] {
				t.Errorf("%s: nothing is mounted at %s", name, dir)
			}
		}
		if key := interpolate(t, s.Environment["TOCSIN_AUDIT_KEY_FILE"], env); !mounted[path.Dir(key)] {
			t.Errorf("%s: the audit key %s is on no volume", name, key)
		}
		if i := slices.Index(s.Command, "--config"); i < 0 || !mounted[path.Dir(s.Command[i+1])] {
			t.Errorf("%s: %v names no configuration on a volume", name, s.Command)
		}
	}
}
