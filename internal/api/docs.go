package api

import (
	"bytes"
	"html/template"
	"maps"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

// docsPage is the reference for people, made from the OpenAPI document. It needs
// no script and nothing from elsewhere.
var docsPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Tocsin API {{.Version}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
code{background:#f2f2f2;padding:.1em .3em}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #ddd;vertical-align:top}</style>
<h1>Tocsin API {{.Version}}</h1>
<p>Send <code>Authorization: Bearer toc_live_…</code> with every request. The whole document is <a href="{{.Document}}">OpenAPI 3.1</a>.</p>
<table><tr><th>Call<th>What it does<th>Parameters</tr>
{{range .Calls}}<tr><td><code>{{.Method}} {{.Path}}</code><td>{{.Summary}}<br><small>{{.Description}}</small><td>{{range .Parameters}}<code title="{{.Description}}">{{.Name}}</code> {{end}}</tr>
{{end}}</table></html>
`))

type docsCall struct{ *huma.Operation }

// docs shows the reference.
func (s *Server) docs(c *fiber.Ctx) error {
	var calls []docsCall
	paths := s.api.OpenAPI().Paths
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				calls = append(calls, docsCall{op})
			}
		}
	}
	var page bytes.Buffer
	err := docsPage.Execute(&page, struct {
		Version, Document string
		Calls             []docsCall
	}{s.deps.Version, Base + "/openapi.json", calls})
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; style-src 'unsafe-inline'")
	return c.Send(page.Bytes())
}
