package expr

import (
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// textFunctions are the functions over text that CEL itself lacks, by the names
// of its common extension. That extension's replace and join can make hundreds
// of megabytes from two small texts in one call; these stop at [MaxText].
func textFunctions() []cel.EnvOption {
	str, list := cel.StringType, cel.ListType(cel.StringType)
	return []cel.EnvOption{
		member("lowerAscii", str, []*cel.Type{str}, func(a []ref.Val) ref.Val { return types.String(strings.ToLower(str0(a[0]))) }),
		member("upperAscii", str, []*cel.Type{str}, func(a []ref.Val) ref.Val { return types.String(strings.ToUpper(str0(a[0]))) }),
		member("trim", str, []*cel.Type{str}, func(a []ref.Val) ref.Val { return types.String(strings.TrimSpace(str0(a[0]))) }),
		member("split", list, []*cel.Type{str, str}, split),
		member("join", str, []*cel.Type{list, str}, join),
		member("replace", str, []*cel.Type{str, str, str}, replace),
		member("substring", str, []*cel.Type{str, cel.IntType, cel.IntType}, substring),
	}
}

// member declares receiver.name(args…), where args[0] is the receiver. Its cost
// is reading the receiver and writing the result.
func member(name string, result *cel.Type, args []*cel.Type, fn func([]ref.Val) ref.Val) cel.EnvOption {
	id := "text_" + name
	size := uint64(MaxText)
	if result.Kind() == types.ListKind {
		size = MaxList
	}
	return func(e *cel.Env) (*cel.Env, error) {
		declare := cel.Function(name, cel.MemberOverload(id, args, result, cel.FunctionBinding(func(a ...ref.Val) ref.Val { return fn(a) })))
		e, err := declare(e)
		if err != nil {
			return nil, err
		}
		return cel.CostModel(cost.MemberOverload(id,
			cost.EvalCost(cost.Sum(cost.Const(2), cost.StringScan(cost.Length(cost.Target())), cost.StringScan(cost.Length(cost.Result())))),
			cost.ResultSize(cost.AtMost(cost.Const(size))),
		))(e)
	}
}

func str0(v ref.Val) string { s, _ := v.(types.String); return string(s) }

func split(a []ref.Val) ref.Val {
	parts := strings.SplitN(str0(a[0]), str0(a[1]), MaxList+1)
	return types.NewStringList(types.DefaultTypeAdapter, parts[:min(len(parts), MaxList)])
}

func join(a []ref.Val) ref.Val {
	list, ok := a[0].(traits.Lister)
	if !ok {
		return types.NewErr("join wants a list of texts")
	}
	var b strings.Builder
	for it := list.Iterator(); it.HasNext() == types.True; {
		s, ok := it.Next().(types.String)
		if !ok {
			return types.NewErr("join wants a list of texts")
		}
		if b.Len() > 0 {
			b.WriteString(str0(a[1]))
		}
		if b.WriteString(string(s)); b.Len() > MaxText {
			return types.NewErr("join gives more than %d bytes", MaxText)
		}
	}
	return types.String(b.String())
}

func replace(a []ref.Val) ref.Val {
	s, old, with := str0(a[0]), str0(a[1]), str0(a[2])
	if old == "" {
		return types.NewErr("replace wants a text to look for")
	}
	if len(s)+strings.Count(s, old)*(len(with)-len(old)) > MaxText {
		return types.NewErr("replace gives more than %d bytes", MaxText)
	}
	return types.String(strings.ReplaceAll(s, old, with))
}

// substring counts characters and, unlike the extension's, takes an end beyond
// the text for its end: cutting a title to 80 characters is the usual use.
func substring(a []ref.Val) ref.Val {
	from, to := a[1].(types.Int), a[2].(types.Int)
	runes := []rune(str0(a[0]))
	if from < 0 || to < from {
		return types.NewErr("substring(%d, %d) has no sense", from, to)
	}
	n := types.Int(len(runes))
	return types.String(runes[min(from, n):min(to, n)])
}

// regexCost charges regular expressions what they take: measured on hostile
// input they are slower by this factor than CEL's own model has them.
type regexCost struct{}

const regexFactor = 4

// CallCost implements [cost.ActualCostEstimator].
func (regexCost) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	if function != "matches" || len(args) != 2 {
		return nil
	}
	n := uint64(1+len(str0(args[0]))) * uint64(1+len(str0(args[1]))) * regexFactor / 40
	return &n
}
