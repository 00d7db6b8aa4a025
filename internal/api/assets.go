package api

import (
	"context"
	"strconv"

	"github.com/tocsin/tocsin/hub"
)

// AssetFilter are the query parameters that choose entries of the inventory.
type AssetFilter struct {
	Q        string `query:"q" doc:"Words in id, keys, name, type, account or tags"`
	Kind     string `query:"kind" doc:"asset, account, user, network; several by comma"`
	Type     string `query:"type" doc:"As the sources name it; several by comma"`
	Provider string `query:"provider"`
	Account  string `query:"account"`
	Region   string `query:"region"`
	Source   string `query:"source" doc:"Any of those that reported it"`
	Gone     string `query:"gone" doc:"false (if not given): what is there; true: what every source says is gone; any: both"`
	MinRisk  string `query:"min_risk" doc:"Risk score at least, 0–100"`
}

func (f *AssetFilter) parse() (*hub.NodeFilter, error) {
	out := &hub.NodeFilter{
		Kind: words(f.Kind), Type: words(f.Type), Provider: words(f.Provider), Account: words(f.Account),
		Region: words(f.Region), Source: words(f.Source), Query: f.Q,
	}
	for _, k := range out.Kind {
		if !hub.NodeKind(k).Valid() {
			return nil, hub.E(hub.Malformed, "kind must be of asset, account, user, network")
		}
	}
	switch f.Gone {
	case "", "false":
		out.Gone = new(false)
	case "true":
		out.Gone = new(true)
	case "any":
	default:
		return nil, hub.E(hub.Malformed, "gone must be false, true or any")
	}
	var err error
	out.MinRisk, err = parseNumber("min_risk", f.MinRisk)
	return out, err
}

// EdgeFilter are the query parameters that choose edges.
type EdgeFilter struct {
	Kind   string `query:"kind" doc:"Such as contains or can_access; several by comma"`
	Source string `query:"source"`
	From   string `query:"from" doc:"Id of the node that edges go from"`
	To     string `query:"to" doc:"Id of the node that edges go to"`
	Node   string `query:"node" doc:"Id of the node at either end"`
}

func (f *EdgeFilter) parse() *hub.EdgeFilter {
	return &hub.EdgeFilter{
		Kind: words(f.Kind), Source: words(f.Source), From: hub.AssetID(f.From), To: hub.AssetID(f.To), Node: hub.AssetID(f.Node),
	}
}

// AssetPath is the path parameter of an entry of the inventory.
type AssetPath struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) assetRoutes() {
	const tag, read = "inventory", "assets:read"
	register(s, operation{method: "GET", path: "/assets", permission: read, summary: "List the inventory, the last found first", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			PageParams
			AssetFilter
		},
		) (*listOutput[AssetItem], error) {
			f, err := in.AssetFilter.parse()
			if err != nil {
				return nil, err
			}
			pg, err := in.PageParams.parse()
			if err != nil {
				return nil, err
			}
			return listOf(s.deps.Inventory.Assets(ctx, p, f, pg))
		})
	register(s, operation{method: "GET", path: "/assets/{id}", permission: read, summary: "Show an asset with its alerts, findings and edges", tag: tag}, s.getAsset)
	register(s, operation{method: "GET", path: "/graph/nodes", permission: read, summary: "List the nodes of the graph in short", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			PageParams
			AssetFilter
		},
		) (*listOutput[hub.GraphNode], error) {
			f, err := in.AssetFilter.parse()
			if err != nil {
				return nil, err
			}
			pg, err := in.PageParams.parse()
			if err != nil {
				return nil, err
			}
			return listOf(s.deps.Inventory.Nodes(ctx, p.Tenant, f, pg))
		})
	register(s, operation{method: "GET", path: "/graph/edges", permission: read, summary: "List the edges of the graph between what is there", tag: tag},
		func(ctx context.Context, p hub.Principal, in *struct {
			PageParams
			EdgeFilter
		},
		) (*listOutput[hub.Edge], error) {
			pg, err := in.PageParams.parse()
			if err != nil {
				return nil, err
			}
			return listOf(s.deps.Inventory.Edges(ctx, p.Tenant, in.EdgeFilter.parse(), pg))
		})
	register(s, operation{method: "GET", path: "/graph/blast-radius/{id}", permission: read, summary: "Show how far an attack on an asset can go", tag: tag}, s.getBlastRadius)
}

func (s *Server) getAsset(ctx context.Context, p hub.Principal, in *AssetPath) (*struct{ Body *AssetView }, error) {
	v, err := s.deps.Inventory.Asset(ctx, p, hub.AssetID(in.ID))
	if err != nil {
		return nil, err
	}
	return &struct{ Body *AssetView }{v}, nil
}

// How many hops a blast radius has.
const (
	defaultDepth = 3
	maxDepth     = 10
)

func (s *Server) getBlastRadius(ctx context.Context, p hub.Principal, in *struct {
	AssetPath
	Depth string `query:"depth" doc:"Hops, 1–10; 3 if not given"`
},
) (*struct{ Body *hub.BlastRadius }, error) {
	depth := defaultDepth
	if in.Depth != "" {
		n, err := strconv.Atoi(in.Depth)
		if err != nil || n < 1 || n > maxDepth {
			return nil, hub.E(hub.Malformed, "depth must be a whole number from 1 to 10")
		}
		depth = n
	}
	b, err := s.deps.Inventory.BlastRadius(ctx, p, hub.AssetID(in.ID), depth)
	if err != nil {
		return nil, err
	}
	return &struct{ Body *hub.BlastRadius }{b}, nil
}
