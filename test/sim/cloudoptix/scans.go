package cloudoptix

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// Found is how many vulnerabilities a scan finds in an image.
type Found struct {
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
	Low      int `json:"low"`
}

// A task is a scan of images.
type task struct {
	id, repo, branch string
	images           []string
	files            map[string][]string // by image
	begun, done      time.Time
	failed           bool
}

// A scan is one of templates.
type scan struct {
	id     string
	done   time.Time
	failed bool
	alerts []map[string]any
}

// SetImage says what scans find in an image.
func (s *Sim) SetImage(name string, f Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[name] = f
}

// Tasks is how many scans of images and of templates were begun.
func (s *Sim) Tasks() (images, templates int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks), len(s.scans)
}

// An upload is a form with files.
type upload struct {
	fields map[string]string
	files  map[string]string // content by name
}

const maxForm = 32 << 20

// readUpload reads the form and the parameters of the query; it has answered if
// ok is false.
func (s *Sim) readUpload(w http.ResponseWriter, r *http.Request, names ...string) (u upload, ok bool) {
	s.query(r, names...)
	u = upload{map[string]string{}, map[string]string{}}
	for _, name := range names {
		u.fields[name] = r.URL.Query().Get(name)
	}
	form, err := r.MultipartReader()
	if err != nil {
		s.wrong(w, r, 400, improper)
		return u, false
	}
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.wrong(w, r, 400, improper)
			return u, false
		}
		content, err := io.ReadAll(io.LimitReader(part, maxForm))
		switch name := part.FormName(); {
		case err != nil:
			s.wrong(w, r, 400, improper)
			return u, false
		case name == "files" && part.FileName() != "":
			u.files[part.FileName()] = string(content)
		case slices.Contains(names, name):
			u.fields[name] = string(content)
		default:
			s.Violate(r, "field %s is not documented", name)
		}
	}
	if len(u.files) == 0 {
		s.wrong(w, r, 400, improper)
		return u, false
	}
	return u, true
}

func (s *Sim) submitFiles(w http.ResponseWriter, r *http.Request) {
	u, ok := s.readUpload(w, r, "repo_url", "branch", "committer_name", "committer_email")
	if !ok {
		return
	}
	if u.fields["repo_url"] == "" || u.fields["branch"] == "" {
		s.wrong(w, r, 400, improper)
		return
	}
	t := &task{repo: u.fields["repo_url"], branch: u.fields["branch"], files: map[string][]string{}}
	for name, content := range u.files {
		for _, image := range named(content) {
			t.files[image] = append(t.files[image], name)
			if !slices.Contains(t.images, image) {
				t.images = append(t.images, image)
			}
		}
	}
	slices.Sort(t.images)
	s.submit(w, t, func(o *task) bool { return o.repo == t.repo && o.branch == t.branch })
}

// named gives the images that a file mentions, as FROM and image: do.
func named(content string) []string {
	var out []string
	for line := range strings.Lines(content) {
		words := strings.Fields(line)
		if len(words) > 1 && (strings.EqualFold(words[0], "FROM") || words[0] == "image:") {
			out = append(out, strings.Trim(words[1], `"'`))
		}
	}
	return out
}

func (s *Sim) submitNames(w http.ResponseWriter, r *http.Request) {
	s.query(r, "repoURL", "imageNames")
	q := r.URL.Query()
	t := &task{repo: q.Get("repoURL"), images: listed(q.Get("imageNames"))}
	if t.repo == "" || len(t.images) == 0 || slices.Contains(t.images, "") {
		s.wrong(w, r, 400, improper)
		return
	}
	s.submit(w, t, func(o *task) bool { return o.repo == t.repo && slices.Equal(o.images, t.images) })
}

// submit begins a scan, unless the same one is running.
func (s *Sim) submit(w http.ResponseWriter, t *task, same func(*task) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	for _, o := range s.tasks {
		if same(o) && now.Before(o.done) {
			unkind.Answer(w, 200, map[string]any{"taskId": o.id, "duplicate": true, "quotaFull": false})
			return
		}
	}
	if len(t.images) > s.quota {
		unkind.Answer(w, 200, map[string]any{"taskId": nil, "duplicate": false, "quotaFull": true})
		return
	}
	s.serial++
	s.quota -= len(t.images)
	t.id, t.begun, t.done, t.failed = fmt.Sprintf("task-%06d", s.serial), now, now.Add(s.options.ScanTime), s.failing
	s.tasks[t.id] = t
	unkind.Answer(w, 200, map[string]any{"taskId": t.id, "duplicate": false, "quotaFull": false})
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (s *Sim) taskResult(w http.ResponseWriter, r *http.Request) {
	s.query(r, "taskId")
	if r.URL.Query().Get("taskId") == "" {
		s.wrong(w, r, 400, improper)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[r.URL.Query().Get("taskId")]
	if t == nil {
		s.refuse(w, r, 400, improper)
		return
	}
	out := map[string]any{
		"taskId": t.id, "status": "submitted", "createdAt": utc(t.begun), "completedAt": nil, "branch": t.branch, "filesScanned": 0, "scanResult": []any{},
	}
	if !s.Now().Before(t.done) {
		out["completedAt"], out["status"] = utc(t.done), "failed"
		if !t.failed {
			results := []any{}
			for _, image := range t.images {
				s.analyzed[image] = true
				results = append(results, s.result(image, t.files[image]))
			}
			out["status"], out["filesScanned"], out["scanResult"] = "complete", len(t.images), results
		}
	}
	unkind.Answer(w, 200, out)
}

// result is what is known of an image.
func (s *Sim) result(image string, files []string) map[string]any {
	registry, _, there := strings.Cut(image, "/")
	if !there || !strings.Contains(registry, ".") {
		registry = "docker.io"
	}
	f := s.images[image]
	return map[string]any{
		"fullTag": image, "registry": registry, "vulnerabilities": f, "files": append([]string{}, files...), "isPublic": true, "isSecure": f == Found{},
	}
}

func (s *Sim) imageResult(w http.ResponseWriter, r *http.Request) {
	s.query(r, "container")
	image := r.URL.Query().Get("container")
	if image == "" {
		s.wrong(w, r, 400, improper)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.analyzed[image] {
		unkind.Answer(w, 200, map[string]any{"success": false, "status": "FAILED", "message": "Image is not analyzed", "code": "400", "data": nil})
		return
	}
	unkind.Answer(w, 200, map[string]any{"success": true, "status": "OK", "message": "", "code": "200", "data": s.result(image, nil)})
}

func (s *Sim) scanTemplates(w http.ResponseWriter, r *http.Request) {
	u, ok := s.readUpload(w, r, "repo_url", "branch", "committer_name", "committer_email", "async", "save_results_to_account", "policy_name")
	if !ok {
		return
	}
	async, errA := strconv.ParseBool(cmp.Or(u.fields["async"], "true"))
	save, errS := strconv.ParseBool(cmp.Or(u.fields["save_results_to_account"], "false"))
	if errA != nil || errS != nil || save && (u.fields["repo_url"] == "" || u.fields["branch"] == "") {
		s.wrong(w, r, 400, improper)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	c := &scan{id: fmt.Sprintf("scan-%06d", s.serial), done: s.Now(), failed: s.failing}
	c.alerts = faults(c.id, u.files)
	if async {
		c.done = c.done.Add(s.options.ScanTime)
	}
	s.scans[c.id] = c
	out := map[string]any{"scan_id": c.id}
	if !async {
		out["summary"] = c.summary()
	}
	for _, a := range c.alerts {
		if save && !c.failed {
			s.addAlert(Alert{Summary: a["alertSummary"].(string), Level: a["criticalLevel"].(string), Details: a["alertDetails"].(string)})
		}
	}
	unkind.Answer(w, 200, out)
}

// flaws are what a scan of templates finds.
var flaws = []struct{ mark, summary, level string }{
	{"public-read", "Bucket can be read by everybody", "CRITICAL"},
	{"0.0.0.0/0", "Security group is open to the world", "HIGH"},
	{"encrypted = false", "Volume is not encrypted", "MEDIUM"},
	{"latest", "Image has no fixed version", "LOW"},
}

func faults(id string, files map[string]string) []map[string]any {
	out := []map[string]any{}
	for name, content := range files {
		for _, f := range flaws {
			if strings.Contains(content, f.mark) {
				out = append(out, map[string]any{"scanID": id, "alertSummary": f.summary, "criticalLevel": f.level, "alertDetails": "in " + name})
			}
		}
	}
	return out
}

func (c *scan) summary() map[string]int {
	n := map[string]int{"num_critical_alerts": 0, "num_high_alerts": 0, "num_medium_alerts": 0, "num_low_alerts": 0}
	for _, a := range c.alerts {
		n["num_"+strings.ToLower(a["criticalLevel"].(string))+"_alerts"]++
	}
	return n
}

// known gives the scan that is asked for, or answers that there is none.
func (s *Sim) known(w http.ResponseWriter, r *http.Request) *scan {
	s.query(r, "scan_id")
	id := r.URL.Query().Get("scan_id")
	c := s.scans[id]
	switch {
	case id == "":
		s.wrong(w, r, 400, noScan) // the only text that the document has for it
	case c == nil:
		s.refuse(w, r, 400, noScan)
	}
	return c
}

func (s *Sim) scanStatus(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.known(w, r)
	if c == nil {
		return
	}
	ongoing, text := s.Now().Before(c.done), ""
	if c.failed && !ongoing {
		text = "No template could be read"
	}
	unkind.Answer(w, 200, map[string]any{"processing_ongoing": ongoing, "success": !ongoing && !c.failed, "error": text})
}

func (s *Sim) scanReport(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.known(w, r)
	if c == nil {
		return
	}
	if s.Now().Before(c.done) || c.failed {
		s.wrong(w, r, 400, noScan) // the status says when there is a report
		return
	}
	unkind.Answer(w, 200, map[string]any{"alerts": c.alerts})
}
