// Package expr is the expression language of Tocsin: CEL over declared, typed
// variables, for playbook conditions, step inputs, endpoint filters and
// transforms. It is the only package that imports cel-go.
//
// # What an expression sees
//
//	event    id, type, subject, time, tenant, sequence, source, reason, actor, depth, changes, data
//	alert    the alert's JSON fields, and severity_num; asset, vulnerability and compliance are typed too
//	finding  the finding's JSON fields, and severity_num (finding kinds only)
//	input    a document of a source system, before it is a finding (input and request kinds)
//	body     the body that the input is a part of (request kinds only)
//	headers  map of the request's headers that the config lets through (request kinds only)
//	now      the time of evaluation
//	steps    map of step id to {status, at, output, error} (step kinds only)
//	run      id, playbook, version, started_at (step kinds only)
//	item     the element at hand under for_each (step kinds only)
//
// A name or field that does not exist is an error at compile time. Only what
// lies under payload, object, output, item, input and body is untyped; a missing key there is
// an error at run time, which has() and .? avoid. An optional field that is not
// set (risk_score, resolved_at …) is such an error too, never a zero.
//
// severity_num is the scale that SIEMs use: critical 99, high 73, medium 47,
// low 21, info 1. The function severity_num("high") gives the same numbers, so
// alert.severity_num >= severity_num("high") reads as it should.
//
// # What an expression costs
//
// Compile refuses what has no bound or too high a one ([MaxEstimate]). What an
// expression sees is capped: lists at [MaxList], texts at [MaxText], an untyped
// document at [MaxDocument]. Expressions with loops run under a cost limit and a
// deadline of [Deadline], looked at in every round; those without cannot take
// longer than their length allows and run bare, because they are the hot path.
//
// A condition that fails at run time is false and an error: callers count it and
// never act on it.
package expr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of expressions.
const (
	// MaxSource is the longest expression in characters.
	MaxSource = 4096
	// MaxNodes is the most syntax nodes of one expression.
	MaxNodes = 400
	// MaxList is how many elements of a list an expression sees.
	MaxList = 1000
	// MaxText is how many bytes of a text an expression sees; it keeps one
	// regular expression over hostile input below a few milliseconds.
	MaxText = 16 << 10
	// MaxDocument is the largest payload that is decoded for an expression.
	MaxDocument = 256 << 10
	// MaxEstimate is the highest static cost that Compile accepts: a loop over a
	// full list with a loop over labels inside passes, two full lists do not.
	MaxEstimate = 10_000_000
	// MaxCost is the cost at which evaluation stops; about 20 ms of work.
	MaxCost = 500_000
	// Deadline is the time after which evaluation stops.
	Deadline = 50 * time.Millisecond

	// bareCost is the static cost up to which an expression without loops runs
	// without a cost limit: a few plain text operations on the longest texts.
	bareCost = 50_000
)

// A Kind says which variables an expression sees and what it must give.
type Kind int

// Kinds of expression.
const (
	Condition        Kind = iota // bool over event, alert, now
	Value                        // anything over event, alert, now
	StepCondition                // bool over event, alert, now, steps, run, item
	StepValue                    // anything over the same
	StepList                     // a list over the same
	FindingCondition             // bool over finding, now
	FindingValue                 // anything over finding, now
	InputCondition               // bool over input, now
	InputValue                   // anything over input, now
	InputList                    // a list over input, now
	RequestCondition             // bool over input, body, headers, now
	RequestValue                 // anything over the same
)

// A Program is a compiled expression. It is safe for concurrent use.
type Program struct {
	kind    Kind
	source  string
	prg     cel.Program
	steps   []string
	guarded bool
}

// Compile checks source and makes it ready. Its error is a [*Error] with every
// fault and its place.
func Compile(kind Kind, source string) (*Program, error) {
	env, err := environment(kind)
	if err != nil {
		return nil, fmt.Errorf("set up expressions: %w", err)
	}
	checked, problems := check(env, kind, source)
	if len(problems) > 0 {
		return nil, &Error{Source: source, Problems: problems}
	}
	bound, problem := estimate(env, checked)
	if problem != nil {
		return nil, &Error{Source: source, Problems: []Problem{*problem}}
	}
	p := &Program{kind: kind, source: source, steps: stepRefs(checked)}
	p.guarded = bound > bareCost || loops(checked)
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if p.guarded {
		opts = append(opts, cel.CostLimit(MaxCost), cel.CostTracking(regexCost{}), cel.InterruptCheckFrequency(1))
	}
	if p.prg, err = env.Program(checked, opts...); err != nil {
		return nil, &Error{Source: source, Problems: []Problem{{Line: 1, Column: 1, Msg: err.Error()}}}
	}
	return p, nil
}

// Source gives the text that p was compiled from.
func (p *Program) Source() string { return p.source }

// Steps lists the step ids that p reads as steps.<id> or steps["<id>"].
func (p *Program) Steps() []string { return p.steps }

// Test evaluates a condition. Whatever goes wrong, the answer is false.
func (p *Program) Test(v *Vars) (bool, error) {
	out, err := p.eval(v)
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("gives %s, want true or false", typeName(out))
	}
	return bool(b), nil
}

// Eval evaluates p to a plain value: nil, bool, int64, float64, string,
// time.Time, time.Duration, []any, map[string]any, or for a typed object its
// JSON as a [jsontext.Value].
func (p *Program) Eval(v *Vars) (any, error) {
	out, err := p.eval(v)
	if err != nil {
		return nil, err
	}
	return native(out)
}

// JSON evaluates p and encodes the result.
func (p *Program) JSON(v *Vars) (jsontext.Value, error) {
	val, err := p.Eval(v)
	if err != nil {
		return nil, err
	}
	return Encode(val)
}

func (p *Program) eval(v *Vars) (ref.Val, error) {
	v.begin()
	if !p.guarded {
		out, _, err := p.prg.Eval((*activation)(v))
		return out, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	out, _, err := p.prg.ContextEval(ctx, (*activation)(v))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("stopped after %v", Deadline)
	}
	return out, err
}

// loops reports whether a runs something a number of times that its input decides.
func loops(a *cel.Ast) bool {
	found := false
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		found = found || e.Kind() == ast.ComprehensionKind
	}))
	return found
}

func typeName(v ref.Val) string { return v.Type().TypeName() }
