// Promcheck parses expressions as Prometheus does and tells which metrics they
// use. It is a module of its own, so that the hub's modules stay few.
//
// It reads a JSON array of expressions and writes one of answers, each with the
// selectors of an expression or with what is wrong with it.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// A selector is a metric that an expression uses, with the labels it asks for.
type selector struct {
	Metric string            `json:"metric"`
	Labels map[string]string `json:"labels"` // those that must be equal to something
}

type answer struct {
	Error     string     `json:"error"`
	Type      string     `json:"type"` // of the result, such as vector
	Selectors []selector `json:"selectors"`
	Grouped   []string   `json:"grouped"` // labels that are summed up by
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "promcheck:", err)
		os.Exit(1)
	}
}

func run() error {
	var expressions []string
	if err := json.NewDecoder(os.Stdin).Decode(&expressions); err != nil {
		return err
	}
	answers := make([]answer, len(expressions))
	for i, text := range expressions {
		answers[i] = check(text)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func check(text string) answer {
	expr, err := parser.ParseExpr(text)
	if err != nil {
		return answer{Error: err.Error()}
	}
	a := answer{Type: string(expr.Type())}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			if !n.Without {
				a.Grouped = append(a.Grouped, n.Grouping...)
			}
		case *parser.VectorSelector:
			s := selector{Metric: n.Name, Labels: map[string]string{}}
			for _, m := range n.LabelMatchers {
				if m.Name != labels.MetricName {
					s.Labels[m.Name] = m.Value
				}
			}
			a.Selectors = append(a.Selectors, s)
		}
		return nil
	})
	return a
}
