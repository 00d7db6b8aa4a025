package ops

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/configs"
)

// A Home says where a hub keeps what it cannot do without.
type Home struct {
	Dir         string // data folder
	Database    string // file, or URL of a PostgreSQL
	Key         string // file of the audit log's key
	Checkpoints string // file of the checkpoints outside the database
}

// HomeOf gives the home that a configuration describes: that at path, or none,
// with the environment that the hub would see; data stands in place of store.dir
// if given. What is wrong elsewhere in the file does not matter: whoever makes
// a backup need not have the secrets of every endpoint.
func HomeOf(path, data string, environ []string) (Home, *configs.Config, error) {
	if data != "" {
		environ = append(slices.Clip(environ), "TOCSIN_STORE_DIR="+data)
	}
	cfg, err := configs.Load(path, environ)
	var problems configs.Problems
	if errors.As(err, &problems) && cfg != nil {
		problems = slices.DeleteFunc(slices.Clone(problems), func(p configs.Problem) bool {
			section, _, _ := strings.Cut(p.Path, ".")
			return section != "" && section != "store" && section != "audit" && section != "bus"
		})
		if err = nil; len(problems) > 0 {
			err = problems
		}
	}
	if err != nil {
		return Home{}, nil, fmt.Errorf("the configuration has problems; mend them and try again:\n%w", err)
	}
	h := Home{Dir: cfg.Store.Dir, Database: cfg.Store.File(), Key: cfg.KeyFile(), Checkpoints: cfg.CheckpointFile()}
	if cfg.Store.Postgres() {
		h.Database = cfg.Store.URL.Reveal()
	}
	return h, cfg, nil
}

// Names of the files that travel with a database, whatever they are called where
// they lie.
const (
	nameKey         = "audit.key"
	namePublic      = "audit.pub"
	nameCheckpoints = "audit.checkpoints"
)

// path says where the file of that name lies.
func (h *Home) path(name string) string {
	switch name {
	case nameKey:
		return h.Key
	case namePublic:
		return audit.PublicFile(h.Key)
	case nameCheckpoints:
		return h.Checkpoints
	}
	return filepath.Join(h.Dir, name)
}

// names lists the files that belong to the database: those of the audit log, and
// whatever other keys lie in the data folder.
func (h *Home) names() ([]string, error) {
	all := []string{nameCheckpoints, nameKey, namePublic}
	entries, err := os.ReadDir(h.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); e.Type().IsRegular() && (ext == ".key" || ext == ".pub") && !slices.Contains(all, e.Name()) {
			all = append(all, e.Name())
		}
	}
	return all, err
}
