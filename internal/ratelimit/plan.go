package ratelimit

// A Plan is a named limit, as the configuration and API keys name it.
type Plan string

// Plans. A limit counts per API key or user.
const (
	Starter      Plan = "starter"
	Professional Plan = "professional"
	Enterprise   Plan = "enterprise"
	Unlimited    Plan = "unlimited"
)

// Authentication is the limit of each client address on the paths where
// passwords and codes are tried.
func Authentication() Limit { return Limit{PerMinute: 10, Burst: 10} }

// Limit gives the numbers of the plan, and false if there is no such plan.
func (p Plan) Limit() (Limit, bool) {
	switch p {
	case Starter:
		return Limit{PerMinute: 60, Burst: 15}, true
	case Professional:
		return Limit{PerMinute: 300, Burst: 50}, true
	case Enterprise:
		return Limit{PerMinute: 1200, Burst: 200}, true
	case Unlimited:
		return Limit{}, true
	}
	return Limit{}, false
}
