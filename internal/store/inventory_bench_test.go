package store_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// inventory gives so many things of an account and how they hang together.
func inventory(n int, at time.Time) (nodes []hub.NodeReport, edges []hub.EdgeReport) {
	for i := range n {
		id := fmt.Sprintf("i-%08d", i)
		nodes = append(nodes, hub.NodeReport{
			Kind: hub.NodeAsset, Keys: []string{id, "arn:aws:ec2:eu-west-1:123456789012:instance/" + id}, SourceID: id, SeenAt: at,
			Asset:      hub.Asset{Type: "aws_ec2_instance", Provider: "aws", Account: "123456789012", Region: "eu-west-1", Name: "web-" + id, Tags: map[string]string{"env": "prod", "team": "a"}},
			Attributes: fmt.Appendf(nil, `{"id":%q,"state":"running","image":"ami-0123456789","type":"t3.large","vpc":"vpc-1","subnet":"subnet-%d"}`, id, i%50),
		})
		edges = append(edges, hub.EdgeReport{From: "123456789012", To: id, Kind: "contains", SeenAt: at})
	}
	return nodes, edges
}

// A page of 10,000 things: new ones, then the same again, each with a changed
// detail in the end.
func BenchmarkInventoryPage(b *testing.B) {
	for _, mode := range []string{"new", "again", "changed"} {
		b.Run(mode, func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "db"))
			defer s.Close()
			at := time.Unix(1e9, 0)
			write := func(tenant hub.TenantID, nodes []hub.NodeReport, edges []hub.EdgeReport) {
				inv, err := store.NewInventory(tenant, "src", nodes, edges)
				if err != nil {
					b.Fatal(err)
				}
				err = s.Do(b.Context(), func(tx *store.Tx) error {
					_, err := tx.PutInventory(inv)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			nodes, edges := inventory(10_000, at)
			write("t", nodes, edges)
			n := 0
			for b.Loop() {
				n++
				nodes, edges := inventory(10_000, at.Add(time.Duration(n)*time.Hour))
				tenant := hub.TenantID("t")
				if mode == "new" {
					tenant = hub.TenantID(fmt.Sprint("t", n))
				}
				if mode == "changed" {
					for i := range nodes {
						nodes[i].Name += fmt.Sprint(n)
					}
				}
				write(tenant, nodes, edges)
			}
		})
	}
}
