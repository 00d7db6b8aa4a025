// Package cloudoptix simulates the REST API of Sophos Cloud Optix as its
// document describes it, for tests, hubsim and the demo.
//
// What the document says is enforced to the letter: paths and methods, the
// ApiKey header, the bounds of pages (from 1 and up to 50 for alerts, from 0 and
// 100 to 500 for the inventory), the form of times, filters that exclude each
// other, and the text of every refusal. Where it is silent the simulator decides
// as follows, and a client should not lean on it:
//
//   - refusals are {"timestamp", "status", "error", "message", "path"}, those of
//     the inventory {"errorMessage"}; 502 and 503 are pages for people;
//   - alerts are sorted by when they were last seen, newest or oldest first, or
//     by how bad they are, as the seed has it; a page is counted off when it is
//     asked for, so that items shift between pages;
//   - a scan that sees an alert again moves lastSeen, and so does a change of its
//     level or its resources; a person who suppresses or opens one does not;
//   - lastSeenFrom is inclusive, lastSeenTo exclusive; with one of them the other
//     is 365 days away at most;
//   - a key may make 600 requests a minute; 429 has Retry-After, in seconds, and
//     no other header tells of it;
//   - a page behind the last is empty; unknown parameters are ignored;
//   - fields of an upload are taken from the form and from the query;
//   - a scan takes 20 seconds; of images that the quota has no room for, none is
//     scanned, and there is no taskId;
//   - a search term is words that must all suit, apart from "or": name:value with *,
//     or a value that any member may have, in any case; names of members are as the
//     lists have them;
//   - native Kubernetes has no clusters, because there is no search key for them.
//
// It imports nothing of ours but [unkind]. Everything that breaks the document
// is a violation; a request before the time given in Retry-After too.
//
// To steer it, beside what package unkind offers:
//
//	GET  /_sim/alerts      all of them
//	POST /_sim/alerts      {"count": 10} or {"alert": {…}}
//	POST /_sim/see         {"id"}                    a scan sees it again
//	POST /_sim/level       {"id", "level": "HIGH"}   and finds it worse or better
//	POST /_sim/rate        {"id", "level": "HIGH"}   a person rates it anew, no scan sees it
//	POST /_sim/suppress    {"id", "open": false}     as a person does there, or opens it again
//	POST /_sim/things      {"list": "vms", "thing": {…}}; lists are accounts, vms, users,
//	                       serverless and eks/clusters, native/pods …
//	POST /_sim/remove      {"list", "id"}            a thing is there no more
//	PUT  /_sim/image       {"name", "critical", "high", "medium", "low"}: what a scan finds in it
//	POST /_sim/traffic     {"count", "instance_id"}
//	GET  /_sim/ips         {"outbound": […], "allowed": […]}
//	PUT  /_sim/scans       {"fail": true}            scans fail from now on
//	PUT  /_sim/quota       {"left": 5}               images
//	PUT  /_sim/key         {"refused": true} or {"orphan": true}: no customer belongs to it
package cloudoptix

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// DefaultKey is the API key that the simulator takes unless told otherwise.
const DefaultKey = "9f1c2e7a-optix-4b6d-8e21-5ac07d13be44"

// Accounts that are there from the start, one of each sort that has machines.
const (
	DefaultAccount    = "123456789012"
	AzureAccount      = "0c8f2a6e-77b1-4f0e-9a55-2f1f0f9d7a10"
	GCPAccount        = "acme-prod-1"
	KubernetesAccount = "kube-onprem"
)

// Options say how the simulator starts.
type Options struct {
	unkind.Options
	Key       string        // default: DefaultKey
	PerMinute int           // requests; default 600
	ScanTime  time.Duration // default 20 s
	Quota     int           // images that may be scanned; default 1000
}

// A Thing is an entry of the inventory, as the document shows it.
type Thing map[string]any

// A Sim is the simulated system. It is an [http.Handler] for API and steering.
type Sim struct {
	*unkind.Side
	handler http.Handler
	routes  *http.ServeMux
	options Options

	mu       sync.Mutex // guards all below
	serial   int
	alerts   []*Alert
	things   map[string][]Thing // by list
	tasks    map[string]*task   // image scans
	scans    map[string]*scan   // template scans
	images   map[string]Found   // what scans find
	analyzed map[string]bool    // images that a scan has looked at
	traffic  []Flow
	outbound []ipList
	allowed  []ipList
	refused  bool
	orphan   bool
	failing  bool        // scans fail
	quota    int         // images left
	used     []time.Time // requests of the last minute
}

// New makes a simulator with an account of each provider and a few things in it.
func New(o Options) *Sim {
	o.Key, o.PerMinute = cmp.Or(o.Key, DefaultKey), cmp.Or(o.PerMinute, 600)
	o.ScanTime, o.Quota = cmp.Or(o.ScanTime, 20*time.Second), cmp.Or(o.Quota, 1000)
	s := &Sim{
		Side: unkind.New("cloudoptix", o.Options), options: o, quota: o.Quota, things: map[string][]Thing{},
		tasks: map[string]*task{}, scans: map[string]*scan{}, images: map[string]Found{}, analyzed: map[string]bool{},
	}
	s.furnish()
	s.routes = s.mux()
	s.handler = s.Wrap(s.voice(), http.HandlerFunc(s.serve))
	return s
}

// ServeHTTP answers API and steering requests.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Refuse refuses the key, as if it had expired, until told otherwise.
func (s *Sim) Refuse(refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = refused
}

// Orphan says that no customer belongs to the key.
func (s *Sim) Orphan(orphan bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orphan = orphan
}

// FailScans lets scans that are begun from now on fail.
func (s *Sim) FailScans(fail bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = fail
}

// SetQuota says how many images may still be scanned.
func (s *Sim) SetQuota(left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quota = left
}

// Put adds a thing to a list of the inventory.
func (s *Sim) Put(list string, t Thing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.things[list] = append(s.things[list], t)
}

// Remove takes a thing off a list; false if it is not there.
func (s *Sim) Remove(list, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.things[list])
	s.things[list] = slices.DeleteFunc(s.things[list], func(t Thing) bool { return t.id(list) == id })
	return len(s.things[list]) < before
}

// Things gives a list of the inventory.
func (s *Sim) Things(list string) []Thing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.things[list])
}
