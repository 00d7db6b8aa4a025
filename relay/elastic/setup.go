package elastic

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	//go:embed setup/pipeline.json
	pipelineJSON []byte
	//go:embed setup/mappings-ecs.json
	ecsMappingJSON []byte
	//go:embed setup/mappings-tocsin.json
	ownMappingJSON []byte
)

// pipelineName is the ingest pipeline that stamps event.ingested.
const pipelineName = "logs-tocsin"

// templatePriority is above 500, which no stock or Fleet template exceeds.
const templatePriority = 600

// mappingVersion goes up with every change of what setup installs.
const mappingVersion = 2

// A Resource is one thing that setup installs.
type Resource struct {
	Path string
	Body []byte
}

type meta struct {
	ManagedBy string `json:"managed_by"`
}

type componentTemplate struct {
	Template templateBody `json:"template"`
	Version  int          `json:"version"`
	Meta     meta         `json:"_meta"`
}

type templateBody struct {
	Settings  *indexSettings `json:"settings,omitempty"`
	Mappings  jsontext.Value `json:"mappings,omitempty"`
	Lifecycle *lifecycle     `json:"lifecycle,omitempty"`
}

type indexSettings struct {
	Index indexOptions `json:"index"`
}

// indexOptions: standard mode, because others rebuild _source from the index
// and would change a vendor's document; an explicit refresh interval, because
// otherwise an index that nobody searches is not refreshed.
type indexOptions struct {
	Mode            string `json:"mode"`
	RefreshInterval string `json:"refresh_interval"`
	FinalPipeline   string `json:"final_pipeline,omitempty"`
}

type lifecycle struct {
	Enabled   bool   `json:"enabled"`
	Retention string `json:"data_retention,omitempty"`
}

type indexTemplate struct {
	Patterns   []string  `json:"index_patterns"`
	DataStream *struct{} `json:"data_stream,omitzero"`
	Priority   int       `json:"priority"`
	AutoCreate bool      `json:"allow_auto_create"`
	ComposedOf []string  `json:"composed_of"`
	MayMiss    []string  `json:"ignore_missing_component_templates"`
	Version    int       `json:"version"`
	Meta       meta      `json:"_meta"`
}

// Resources gives everything that setup installs, in order. Nothing of it
// depends on the namespace. Operators put their own settings into the
// component templates named …@custom, which setup never writes.
func Resources(s Settings) []Resource {
	var list []Resource
	add := func(path string, body any) {
		b, err := json.Marshal(body, jsontext.WithIndent("  "), json.Deterministic(true))
		if err != nil {
			panic(err) // the values are ours and constant
		}
		list = append(list, Resource{Path: path, Body: b})
	}
	own := meta{ManagedBy: "tocsin"}
	options := indexOptions{Mode: "standard", RefreshInterval: "1s"}
	if !s.NoPipeline {
		options.FinalPipeline = pipelineName
		add("/_ingest/pipeline/"+pipelineName, jsontext.Value(pipelineJSON))
	}
	component := func(name string, t templateBody) {
		add("/_component_template/"+name, componentTemplate{Template: t, Version: mappingVersion, Meta: own})
	}
	component("tocsin@settings", templateBody{Settings: &indexSettings{Index: options}})
	component("tocsin-ecs@mappings", templateBody{Mappings: ecsMappingJSON})
	component("tocsin-own@mappings", templateBody{Mappings: ownMappingJSON})
	parts := []string{"tocsin@settings", "tocsin-ecs@mappings", "tocsin-own@mappings"}
	for _, stream := range [...]struct{ name, retention string }{
		{alertStream, s.Retention.Alerts}, {findingStream, s.Retention.Findings}, {auditStream, s.Retention.Audit},
	} {
		name := strings.TrimSuffix(stream.name, "-")
		component(name+"@lifecycle", templateBody{Lifecycle: &lifecycle{Enabled: true, Retention: stream.retention}})
		add("/_index_template/"+name, template(stream.name+"*", &struct{}{}, append(parts[:3:3], name+"@lifecycle", name+"@custom"), own))
	}
	name := strings.TrimSuffix(stateIndex, "-")
	add("/_index_template/"+name, template(stateIndex+"*", nil, append(parts[:3:3], name+"@custom"), own))
	return list
}

// template makes an index template whose last part, the operator's, may miss.
func template(pattern string, stream *struct{}, parts []string, own meta) indexTemplate {
	return indexTemplate{
		Patterns: []string{pattern}, DataStream: stream, Priority: templatePriority, AutoCreate: true,
		ComposedOf: parts, MayMiss: parts[len(parts)-1:], Version: mappingVersion, Meta: own,
	}
}

// Print writes what setup would install, as requests that can be pasted into
// a console.
func Print(w io.Writer, s Settings) error {
	for _, r := range Resources(s) {
		if _, err := fmt.Fprintf(w, "PUT %s\n%s\n\n", r.Path, r.Body); err != nil {
			return err
		}
	}
	return nil
}

// Setup installs pipeline, templates and lifecycle. It may be repeated; what
// exists under the same names is replaced, what operators put into the @custom
// templates stays.
func (k *Sink) Setup(ctx context.Context) error {
	if f := k.install(ctx); f != nil {
		return f.forCaller()
	}
	return nil
}

func (k *Sink) install(ctx context.Context) *fault {
	for _, r := range Resources(k.settings) {
		if _, f := k.call(ctx, http.MethodPut, r.Path, "application/json", r.Body); f != nil {
			f.halt = f.halt || f.split // refused for its content: no sense in repeating it
			f.split = false
			return f
		}
	}
	return nil
}

// ready installs at first use what is needed, unless that is turned off.
func (k *Sink) ready(ctx context.Context) *fault {
	if k.settings.NoSetup {
		return nil
	}
	k.setup.Lock()
	defer k.setup.Unlock()
	if k.installed {
		return nil
	}
	if f := k.install(ctx); f != nil {
		return f
	}
	k.installed = true
	k.log.InfoContext(ctx, "elasticsearch templates installed")
	return nil
}

// reinstall makes the next round install again what somebody has removed.
func (k *Sink) reinstall(f *fault) {
	if f.Status != http.StatusNotFound && f.Status != http.StatusBadRequest {
		return
	}
	k.setup.Lock()
	k.installed = false
	k.setup.Unlock()
}
