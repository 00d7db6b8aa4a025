package api

import (
	"context"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/page"
)

// Inventory is what the sources say there is, and how it hangs together. An id
// that turned out to be of another entry leads to that one.
type Inventory interface {
	Assets(ctx context.Context, p hub.Principal, f *hub.NodeFilter, pg page.Request) (List[AssetItem], error)
	Asset(ctx context.Context, p hub.Principal, id hub.AssetID) (*AssetView, error)

	Nodes(ctx context.Context, t hub.TenantID, f *hub.NodeFilter, pg page.Request) (List[hub.GraphNode], error)
	Edges(ctx context.Context, t hub.TenantID, f *hub.EdgeFilter, pg page.Request) (List[hub.Edge], error)
	BlastRadius(ctx context.Context, p hub.Principal, id hub.AssetID, depth int) (*hub.BlastRadius, error)
}

// An AssetItem is an entry of the inventory in a list, without attributes.
type AssetItem struct {
	*hub.Node
	CrownJewel bool `json:"crown_jewel"`
	// Alerts counts the active alerts; absent for who may not read alerts.
	Alerts *hub.SeverityCounts `json:"active_alerts,omitempty"`
}

// An AssetView is an entry of the inventory with what is known around it. Alerts
// and findings are absent for who may not read them.
type AssetView struct {
	AssetItem
	LastAlerts   []*hub.Alert  `json:"alerts,omitempty" doc:"On it, the last changed first, up to 50"`
	LastFindings []FindingView `json:"findings,omitempty" doc:"Of the last alerts, the newest first, up to 50"`
	Edges        []hub.Edge    `json:"edges" doc:"From it and to it, up to 200"`
	MoreEdges    bool          `json:"more_edges" doc:"There are more; see /graph/edges?node="`
}
