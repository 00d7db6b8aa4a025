package demo

import (
	"math/rand/v2"

	"github.com/tocsin/tocsin/test/sim/cybervault"
)

// A vaultFeed makes alerts come, change and end at the simulated CyberVault. It
// tells of new and resolved ones by webhook; all else only a pull can find.
type vaultFeed struct {
	sim    *cybervault.Sim
	random *rand.Rand
	wavesN int
	open   []string // ids
	over   []string // resolved once, to come back
}

// wave changes what is there and adds six alerts.
func (v *vaultFeed) wave() {
	v.wavesN++
	if len(v.over) > 0 && v.wavesN%3 == 0 { // only a pull tells of it
		v.sim.Change(v.take(&v.over), "open", "")
	}
	if len(v.open) > 2 {
		id := v.take(&v.open)
		v.sim.Change(id, "resolved", "")
		v.over = append(v.over, id)
		v.sim.Change(v.take(&v.open), "dismissed", "")
		v.sim.Change(v.take(&v.open), "investigating", "critical")
	}
	v.open = append(v.open, v.sim.Add(6)...)
}

func (v *vaultFeed) take(from *[]string) string {
	list := *from
	i := v.random.IntN(len(list))
	id := list[i]
	list[i] = list[len(list)-1]
	*from = list[:len(list)-1]
	return id
}

// states gives what CyberVault says of each alert, in the hub's words.
func (v *vaultFeed) states() map[string]string {
	out := map[string]string{}
	for _, a := range v.sim.Alerts() {
		out[a.ID] = "open"
		if a.Status == "resolved" || a.Status == "dismissed" {
			out[a.ID] = "resolved"
		}
	}
	return out
}
