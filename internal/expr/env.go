package expr

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/tocsin/tocsin/hub"
)

const severityFunction = "severity_num"

// The environments never change once made; making one takes milliseconds, so
// it is done at the first use and not at import.
var (
	eventEnv   = sync.OnceValues(func() (*cel.Env, error) { return newEnv(eventVars()) })
	stepEnv    = sync.OnceValues(func() (*cel.Env, error) { return newEnv(append(eventVars(), stepVars()...)) })
	findingEnv = sync.OnceValues(func() (*cel.Env, error) {
		return newEnv([]cel.EnvOption{cel.Variable("finding", cel.ObjectType(findingType)), cel.Variable("now", cel.TimestampType)})
	})
	inputEnv = sync.OnceValues(func() (*cel.Env, error) {
		return newEnv([]cel.EnvOption{cel.Variable("input", cel.DynType), cel.Variable("now", cel.TimestampType)})
	})
)

var requestEnv = sync.OnceValues(func() (*cel.Env, error) {
	return newEnv([]cel.EnvOption{
		cel.Variable("input", cel.DynType), cel.Variable("body", cel.DynType),
		cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)), cel.Variable("now", cel.TimestampType),
	})
})

func environment(kind Kind) (*cel.Env, error) {
	switch kind {
	case Condition, Value:
		return eventEnv()
	case FindingCondition, FindingValue:
		return findingEnv()
	case InputCondition, InputValue, InputList:
		return inputEnv()
	case RequestCondition, RequestValue:
		return requestEnv()
	}
	return stepEnv()
}

func eventVars() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable("event", cel.ObjectType(eventType)),
		cel.Variable("alert", cel.ObjectType(alertType)),
		cel.Variable("now", cel.TimestampType),
	}
}

func stepVars() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable("steps", cel.MapType(cel.StringType, cel.ObjectType(stepType))),
		cel.Variable("run", cel.ObjectType(runType)),
		cel.Variable("item", cel.DynType),
	}
}

func newEnv(vars []cel.EnvOption) (*cel.Env, error) {
	reg, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	for _, o := range objects() {
		if err := reg.RegisterType(o); err != nil {
			return nil, err
		}
	}
	opts := []cel.EnvOption{
		cel.CustomTypeProvider(reg), cel.CustomTypeAdapter(reg),
		cel.OptionalTypes(),
		cel.CrossTypeNumericComparisons(true), // alert.risk_score >= 80
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
		cel.ParserExpressionSizeLimit(MaxSource), cel.ExpressionNodeLimit(MaxNodes),
		cel.ParserRecursionLimit(64), cel.RegexProgramSizeLimit(200),
		cel.Function(severityFunction, cel.Overload("severity_num_string", []*cel.Type{cel.StringType}, cel.IntType,
			cel.UnaryBinding(severityOf))),
	}
	opts = append(opts, textFunctions()...)
	return cel.NewEnv(append(opts, vars...)...)
}

func severityOf(v ref.Val) ref.Val {
	s, _ := v.(types.String)
	n := severityNum(hub.Severity(s))
	if n == 0 {
		return types.NewErr("%q is not a severity", string(s))
	}
	return types.Int(n)
}

// severityNum is the severity on the scale that SIEMs use for risk.
func severityNum(s hub.Severity) int64 {
	switch s {
	case hub.Critical:
		return 99
	case hub.High:
		return 73
	case hub.Medium:
		return 47
	case hub.Low:
		return 21
	case hub.Info:
		return 1
	}
	return 0
}
