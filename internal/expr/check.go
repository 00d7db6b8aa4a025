package expr

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/tocsin/tocsin/hub"
)

// check compiles source and applies the rules that CEL does not know.
func check(env *cel.Env, kind Kind, source string) (*cel.Ast, []Problem) {
	if strings.TrimSpace(source) == "" {
		return nil, []Problem{{Line: 1, Column: 1, Msg: "the expression is empty"}}
	}
	a, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, explain(env, issues)
	}
	problems := words(a)
	if msg := wrongType(kind, a.OutputType()); msg != "" {
		problems = append(problems, Problem{Line: 1, Column: 1, Msg: msg})
	}
	return a, problems
}

func wrongType(kind Kind, t *cel.Type) string {
	if t.Kind() == types.DynKind {
		return ""
	}
	switch kind {
	case Condition, StepCondition, FindingCondition, InputCondition, RequestCondition:
		if t.Kind() != types.BoolKind {
			return fmt.Sprintf("gives %s, want a condition that is true or false", cel.FormatCELType(t))
		}
	case StepList, InputList:
		if t.Kind() != types.ListKind {
			return fmt.Sprintf("gives %s, want a list", cel.FormatCELType(t))
		}
	}
	return ""
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	undefined  = regexp.MustCompile(`^undefined field '([^']*)'`)
)

// explain turns the compiler's faults into ours, with a guess at what was meant.
func explain(env *cel.Env, issues *cel.Issues) []Problem {
	var list []Problem
	for _, e := range issues.Errors() {
		p := Problem{Line: max(1, e.Location.Line()), Column: max(0, e.Location.Column()) + 1, Msg: firstLine(e.Message)}
		if m := undeclared.FindStringSubmatch(e.Message); m != nil {
			p.Msg = "unknown name " + m[1] + guess(m[1], declared(env))
		} else if m := undefined.FindStringSubmatch(e.Message); m != nil {
			p.Msg = "unknown field " + m[1] + guess(m[1], fieldNames())
		}
		list = append(list, p)
	}
	return list
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(s, " (in container '')")
}

func guess(name string, known []string) string {
	if near := Nearest(name, known); near != "" {
		return ", did you mean " + near + "?"
	}
	return ""
}

func declared(env *cel.Env) []string {
	var names []string
	for _, v := range env.Variables() {
		names = append(names, v.Name())
	}
	for name := range env.Functions() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// words finds constants that can never be equal to the field they are compared
// with: alert.severity == "hihg" compiles in CEL and is false for ever.
func words(a *cel.Ast) []Problem {
	var list []Problem
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		for _, c := range compared(e.AsCall()) {
			if c.value.Kind() != ast.LiteralKind {
				continue
			}
			s, ok := c.value.AsLiteral().(types.String)
			if ok && !slices.Contains(c.known, string(s)) {
				loc := a.NativeRep().SourceInfo().GetStartLocation(c.value.ID())
				list = append(list, Problem{
					Line: loc.Line(), Column: loc.Column() + 1,
					Msg: fmt.Sprintf("%s is never %q, it is one of %s", c.field, string(s), strings.Join(c.known, ", ")),
				})
			}
		}
	}))
	return list
}

// A comparison is a constant that a field with a closed list of values is held against.
type comparison struct {
	field string
	known []string
	value ast.Expr
}

func compared(c ast.CallExpr) []comparison {
	args := c.Args()
	switch c.FunctionName() {
	case operators.Equals, operators.NotEquals:
		return append(against(args[0], args[1]), against(args[1], args[0])...)
	case operators.In:
		if args[1].Kind() == ast.ListKind {
			return against(args[0], args[1].AsList().Elements()...)
		}
	case severityFunction:
		return []comparison{{"a severity", severityNames(), args[0]}}
	}
	return nil
}

func against(e ast.Expr, values ...ast.Expr) []comparison {
	field := fieldPath(e)
	known := closedList(field)
	if known == nil {
		return nil
	}
	var list []comparison
	for _, v := range values {
		list = append(list, comparison{field, known, v})
	}
	return list
}

// fieldPath gives a field such as alert.severity as text, with the id of a step
// left out; "" for anything else.
func fieldPath(e ast.Expr) string {
	if e.Kind() != ast.SelectKind {
		return ""
	}
	s := e.AsSelect()
	switch of := s.Operand(); {
	case of.Kind() == ast.IdentKind:
		return of.AsIdent() + "." + s.FieldName()
	case of.Kind() == ast.SelectKind && of.AsSelect().Operand().Kind() == ast.IdentKind && of.AsSelect().Operand().AsIdent() == "steps":
		return "steps.<id>." + s.FieldName()
	}
	return ""
}

// closedList gives the only values that a field has, nil if there is no such list.
func closedList(field string) []string {
	switch field {
	case "alert.severity", "finding.severity":
		return severityNames()
	case "alert.type", "finding.type":
		return hub.FindingTypes[:]
	case "alert.status":
		return []string{string(hub.AlertOpen), string(hub.AlertInvestigating), string(hub.AlertResolved), string(hub.AlertDismissed)}
	case "finding.status":
		return []string{string(hub.FindingOpen), string(hub.FindingResolved)}
	case "steps.<id>.status":
		return []string{"done", "skipped", "failed", "waiting"}
	case "event.type":
		var names []string
		for _, t := range hub.EventTypes {
			names = append(names, string(t))
		}
		return names
	}
	return nil
}

func severityNames() []string {
	var names []string
	for _, s := range hub.Severities {
		names = append(names, string(s))
	}
	return names
}

// stepRefs lists the step ids that a reads.
func stepRefs(a *cel.Ast) []string {
	var ids []string
	add := func(operand ast.Expr, id string) {
		if operand.Kind() == ast.IdentKind && operand.AsIdent() == "steps" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			add(e.AsSelect().Operand(), e.AsSelect().FieldName())
		case ast.CallKind:
			c := e.AsCall()
			if len(c.Args()) == 2 && c.Args()[1].Kind() == ast.LiteralKind {
				if id, ok := c.Args()[1].AsLiteral().(types.String); ok {
					add(c.Args()[0], string(id))
				}
			}
		}
	}))
	return ids
}

// estimate gives the highest cost that a can have on capped input, or why a is refused.
func estimate(env *cel.Env, a *cel.Ast) (uint64, *Problem) {
	est, err := env.EstimateCost(a, sizes{})
	switch {
	case err != nil:
		return 0, &Problem{Line: 1, Column: 1, Msg: "its cost cannot be estimated: " + err.Error()}
	case est.Max == math.MaxUint64:
		return 0, &Problem{Line: 1, Column: 1, Msg: "its cost has no bound; loop over fewer or shorter things"}
	case est.Max > MaxEstimate:
		return 0, &Problem{Line: 1, Column: 1, Msg: fmt.Sprintf(
			"it may cost %d steps, more than %d; nest fewer loops or loop over something shorter", est.Max, uint64(MaxEstimate))}
	}
	return est.Max, nil
}

// sizes tells the cost estimate how large inputs are. Only lists and whole texts
// are held to these numbers at run time; for the rest they are what is usual,
// and the cost limit holds when they are wrong.
type sizes struct{}

const (
	usualText = 256 // ids, names, keys, texts inside a payload
	usualMap  = 64  // labels, tags, objects in a payload
)

// EstimateSize implements [cost.Estimator].
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if hints(path) > 3 {
		return nil
	}
	var high uint64
	switch n.Type().Kind() {
	case types.StringKind, types.BytesKind:
		high = usualText
		if len(path) == 0 || path[len(path)-1] == "description" || path[len(path)-1] == "title" {
			high = MaxText
		}
	case types.ListKind:
		high = MaxList
	case types.MapKind:
		high = usualMap
	case types.DynKind:
		high = MaxList
	default:
		return nil
	}
	return &cost.SizeEstimate{Min: 0, Max: high}
}

// EstimateCallCost implements [cost.Estimator]; the standard costs hold but for
// the value of an optional, whose size the standard model does not know.
func (sizes) EstimateCallCost(function, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	if function != "orValue" && function != "value" {
		return nil
	}
	return cost.NewCallEstimate(cost.FixedCostEstimate(1), &cost.SizeEstimate{Max: MaxList})
}

// hints counts the container levels of a path. The estimator asks one level
// deeper for each answer it gets about untyped data, so there must be an end.
func hints(path []string) int {
	n := 0
	for _, p := range path {
		if strings.HasPrefix(p, "@") {
			n++
		}
	}
	return n
}
