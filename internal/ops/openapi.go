package ops

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/internal/api"
)

// OpenAPI gives the API's OpenAPI document as a hub of this version serves it.
// No hub is needed: the routes are made without what stands behind them.
func OpenAPI(version string) ([]byte, error) {
	registry := prometheus.NewRegistry()
	server := api.New(api.Deps{
		Version: version, Plan: "unlimited", IngestPlan: "unlimited", BodyLimit: 5 << 20,
		Registry: registry, Gatherer: registry, Log: slog.New(slog.DiscardHandler),
	})
	req, err := http.NewRequest(http.MethodGet, "http://localhost"+api.Base+"/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	res, err := server.App().Test(req, -1)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the API answers %s for its own document", res.Status)
	}
	return io.ReadAll(res.Body)
}
