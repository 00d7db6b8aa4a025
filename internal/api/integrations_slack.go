package api

import (
	"bytes"
	"context"
	"html/template"
	"maps"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/tocsin/tocsin/hub"
)

// Paths of the integration with Slack.
const (
	SlackInteractions = Base + "/integrations/slack/interactions"
	SlackStart        = Base + "/integrations/slack/oauth-start"
	SlackCallback     = Base + "/integrations/slack/oauth-callback"
)

// Slack is what people do at Slack, and the installation of the app there.
type Slack interface {
	// Interact carries out what somebody pressed, once however often it comes. An
	// error of kind Unauthorized says that no app's secret signed the request. What
	// cannot be done is said to that person at Slack, and is no error.
	Interact(ctx context.Context, r IngestRequest) error
	// Start begins an installation for a browser. The cookie is to come back with
	// Finish.
	Start(ctx context.Context, p hub.Principal, want SlackInstall) (SlackStarted, error)
	// Finish makes a channel of an installation that the browser comes back from.
	Finish(ctx context.Context, back SlackReturn) (Channel, error)
}

// A SlackInstall says what channel to make.
type SlackInstall struct {
	Channel string // at Slack; "" to choose there
	Name    string // of the channel here; "" for one made of the workspace's name
}

// A SlackStarted is an installation that has begun.
type SlackStarted struct {
	URL    string    `json:"url"` // of Slack's page, for the same browser
	Until  time.Time `json:"expires_at"`
	Cookie string    `json:"-"`
}

// A SlackReturn is what a browser brings back from Slack.
type SlackReturn struct {
	Code, State, Error string
	Cookie             string
	IP, UserAgent      string
}

// slackCookie binds an installation to the browser that began it.
const slackCookie = "tocsin_slack_install"

func (s *Server) slackRoutes() {
	s.app.Post(SlackInteractions, s.slackInteraction)
	s.app.Get(SlackStart, s.authorise("alert_channels:create"), s.slackStart)
	s.app.Get(SlackCallback, s.slackCallback)
}

// isSlack reports whether a path is one that Slack's own signature, or a state of
// ours, stands for.
func isSlack(path string) bool { return path == SlackInteractions || path == SlackCallback }

func (s *Server) slackInteraction(c *fiber.Ctx) error {
	if s.deps.Slack == nil {
		return hub.E(hub.NotFound, "there is nothing at "+c.Path())
	}
	r, err := s.ingestRequest(c)
	if err != nil {
		return err
	}
	if err := s.deps.Slack.Interact(c.UserContext(), r); err != nil {
		return err
	}
	return c.Status(fiber.StatusOK).Send(nil)
}

// slackStart sends a browser to Slack, or tells the page that asks where to.
func (s *Server) slackStart(c *fiber.Ctx) error {
	if s.deps.Slack == nil {
		return hub.E(hub.NotFound, "there is nothing at "+c.Path())
	}
	want := SlackInstall{Channel: strings.Clone(c.Query("channel")), Name: strings.Clone(c.Query("name"))}
	if len(want.Channel) > 200 || len(want.Name) > 200 {
		return hub.E(hub.Malformed, "channel and name have at most 200 characters")
	}
	started, err := s.deps.Slack.Start(c.UserContext(), principal(c), want)
	if err != nil {
		return err
	}
	c.Cookie(&fiber.Cookie{
		Name: slackCookie, Value: started.Cookie, Path: SlackCallback, Expires: started.Until, HTTPOnly: true, SameSite: fiber.CookieSameSiteLaxMode,
		Secure: strings.HasPrefix(s.deps.PublicURL, "https://"),
	})
	c.Set(fiber.HeaderCacheControl, "no-store")
	if strings.Contains(c.Get(fiber.HeaderAccept), "application/json") {
		return s.send(c, fiber.StatusOK, started)
	}
	return c.Redirect(started.URL, fiber.StatusFound)
}

// slackCallback answers the browser that comes back, with a page for a person.
func (s *Server) slackCallback(c *fiber.Ctx) error {
	if s.deps.Slack == nil {
		return hub.E(hub.NotFound, "there is nothing at "+c.Path())
	}
	back := SlackReturn{
		Code: strings.Clone(c.Query("code")), State: strings.Clone(c.Query("state")), Error: strings.Clone(c.Query("error")),
		Cookie: strings.Clone(c.Cookies(slackCookie)), IP: c.IP(), UserAgent: strings.Clone(c.Get(fiber.HeaderUserAgent)),
	}
	made, err := s.deps.Slack.Finish(c.UserContext(), back)
	status, head, text := fiber.StatusOK, "Slack is connected", ""
	if err != nil {
		p := problemOf(err)
		if p.cause != nil {
			s.deps.Log.ErrorContext(c.UserContext(), "slack installation failed", "error", p.cause)
		}
		status, head, text = p.Status, "Slack is not connected", p.Detail
	} else {
		text = "Events go to the channel " + made.Config["channel"] + ", under the name " + made.Name + "."
	}
	var page bytes.Buffer
	if err := slackPage.Execute(&page, map[string]string{"Head": head, "Text": text}); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; style-src 'unsafe-inline'")
	return c.Status(status).Send(page.Bytes())
}

// slackPage is what a person sees at the end of an installation.
var slackPage = template.Must(template.New("slack").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{{.Head}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}</style>
<h1>{{.Head}}</h1><p>{{.Text}}</p>
`))

// documentSlack puts the routes into the document.
func (s *Server) documentSlack() {
	doc := s.api.OpenAPI()
	query := func(name, description string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: description, Schema: limited(2000, false)}
	}
	html := map[string]*huma.MediaType{"text/html": {Schema: text("A page for a person")}}
	doc.AddOperation(&huma.Operation{
		OperationID: "post-integrations-slack-interactions", Method: "POST", Path: SlackInteractions, Tags: []string{"integrations"},
		Summary:     "Take what people press at Slack",
		Description: "Signed by X-Slack-Signature with the signing secret of a Slack endpoint's app, or of the hub's own. It is done once however often it comes, by the person who pressed; what cannot be done is said to them at Slack.",
		Security:    []map[string][]string{},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: object(map[string]*huma.Schema{"payload": text("JSON")}, "payload")}}},
		Responses: map[string]*huma.Response{
			"200": {Description: "Taken"}, "400": problem("Signed, but no interaction"), "401": problem("No app's secret signed it, or it is older than five minutes"),
			"413": problem("Body too large"), "415": problem("A Content-Encoding that is not known"), "429": problem("Too many requests"), "503": problem("It cannot be stored now"),
		},
	})
	doc.AddOperation(&huma.Operation{
		OperationID: "get-integrations-slack-oauth-start", Method: "GET", Path: SlackStart, Tags: []string{"integrations"},
		Metadata:    map[string]any{permission: "alert_channels:create"},
		Summary:     "Send a browser to Slack to install the app",
		Description: "Needs the permission alert_channels:create. The same browser must come back within ten minutes; a cookie binds it. With Accept: application/json the address is told in place of a redirect.",
		Parameters:  []*huma.Param{query("channel", "At Slack: an id, or a name with #; not given, it is chosen there"), query("name", "Of the channel here")},
		Responses: map[string]*huma.Response{
			"200": {Description: "Where to send the browser", Content: map[string]*huma.MediaType{"application/json": {Schema: object(map[string]*huma.Schema{
				"url": text("Slack's page"), "expires_at": {Type: huma.TypeString, Format: "date-time"},
			}, "url", "expires_at")}}},
			"302": {Description: "To Slack's page"}, "400": problem("A parameter is too long"), "401": problem("No or a wrong credential"),
			"403": problem("The credential may not make channels"), "409": problem("The hub is no app at Slack: slack.client_id is not set"), "429": problem("Too many requests"),
		},
	})
	either := problem("").Content
	maps.Copy(either, html)
	doc.AddOperation(&huma.Operation{
		OperationID: "get-integrations-slack-oauth-callback", Method: "GET", Path: SlackCallback, Tags: []string{"integrations"},
		Summary: "Where a browser comes back from Slack", Security: []map[string][]string{},
		Parameters: []*huma.Param{query("code", "By Slack"), query("state", "Of oauth-start"), query("error", "By Slack, where the person declined")},
		Responses: map[string]*huma.Response{
			"200": {Description: "The channel is made", Content: html}, "400": {Description: "A wrong state, or a request that cannot be read", Content: either}, "403": {Description: "Another browser, or a state that was used", Content: html},
			"404": {Description: "The hub is no app at Slack", Content: html},
			"409": {Description: "The name is taken", Content: html}, "422": {Description: "Slack does not install the app", Content: html}, "429": problem("Too many requests"), "503": {Description: "Slack does not answer", Content: html},
		},
	})
}
