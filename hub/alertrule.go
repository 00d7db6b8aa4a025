package hub

import "time"

// A RuleID names an alert rule: rul_….
type RuleID string

// An AlertRule has channels told of alerts that meet a condition, so often at
// most and at such times as it says.
type AlertRule struct {
	ID          RuleID   `json:"id"`
	Tenant      TenantID `json:"tenant"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Enabled     bool     `json:"enabled"`

	// ConditionType says which of the fields below counts; the others are kept.
	ConditionType string `json:"condition_type"`

	// For risk_score_threshold: the alert's risk score is at least RiskScoreMin, or
	// the security score of its account is below MinSRS.
	RiskScoreMin *float64 `json:"risk_score_min,omitempty"`
	MinSRS       float64  `json:"min_srs"`

	SeverityThreshold Severity `json:"severity_threshold,omitempty"` // at least so severe
	Scenarios         []string `json:"scenarios"`                    // types or scenarios; empty: all
	Expression        string   `json:"expression,omitempty"`

	CooldownMinutes  int           `json:"cooldown_minutes"`    // after a message; 0 for none
	MaxAlertsPerHour int           `json:"max_alerts_per_hour"` // 0 for no limit
	Schedule         *RuleSchedule `json:"schedule,omitempty"`  // nil: always

	ChannelIDs []EndpointID `json:"channel_ids"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"`

	// State is how the rule is doing; it is stored apart.
	State *RuleState `json:"state,omitempty"`
}

// Condition types of an alert rule (contract §4).
const (
	ConditionRisk       = "risk_score_threshold"
	ConditionSeverity   = "severity_threshold"
	ConditionScenario   = "scenario"
	ConditionExpression = "expression"
)

// DefaultMinSRS is the score below which an account is told of.
const DefaultMinSRS = 40

// A RuleSchedule is when a rule's channels are told.
type RuleSchedule struct {
	TimeZone string       `json:"timezone"` // such as Europe/Berlin; UTC if empty
	Windows  []RuleWindow `json:"windows"`
	// Outside is what becomes of alerts at other times: hold (the default) tells of
	// them when the next window opens, skip only counts them.
	Outside string `json:"outside,omitempty"`
}

// What becomes of alerts outside of a schedule.
const (
	OutsideHold = "hold"
	OutsideSkip = "skip"
)

// A RuleWindow is a span of hours on some days of the week. One that ends before it
// starts lasts into the next day; 00:00 to 24:00 is all day.
type RuleWindow struct {
	Days []string `json:"days,omitempty"` // mon … sun; empty: every day
	From string   `json:"from"`           // 08:00
	To   string   `json:"to"`             // 18:00
}

// A RuleState is what an alert rule has done, and what it holds back.
type RuleState struct {
	Fired     int64     `json:"fired"`      // messages
	HeldBack  int64     `json:"held_back"`  // alerts that had no message of their own
	LastFired time.Time `json:"last_fired"` // zero: never

	// Pending is what it holds back now: Count alerts since Since, because of Why;
	// it tells of them at Due.
	Pending *RulePending `json:"pending,omitempty"`

	// Recent are the times of the messages of the last hour, in microseconds, as far
	// as its hourly limit needs them.
	Recent []int64 `json:"recent,omitempty"`
	// Told is when it last told of what it had held back.
	Told time.Time `json:"told,omitzero"`
}

// A RulePending is what a rule holds back.
type RulePending struct {
	Count int64     `json:"count"`
	Since time.Time `json:"since"`
	Due   time.Time `json:"due"` // zero: with the next message
	Why   string    `json:"why"` // cooldown, hourly limit or schedule

	// Worst are the worst of them; the message will be about the first that is still
	// open then.
	Worst []RuleAlert `json:"worst"`
}

// A RuleAlert is an alert that a rule holds back.
type RuleAlert struct {
	Alert    AlertID  `json:"alert_id"`
	Severity Severity `json:"severity"`
	Sequence int64    `json:"sequence"` // of the event that was held back
}

// A RuleNote goes with a delivery that an alert rule asked for.
type RuleNote struct {
	ID       RuleID    `json:"id"`
	Name     string    `json:"name"`
	HeldBack int64     `json:"held_back,omitempty"` // before this message, without the one it is about
	Since    time.Time `json:"since,omitzero"`
	Why      string    `json:"why,omitempty"`
}

// A RuleFiring says that a rule told of an alert, or held it back.
type RuleFiring struct {
	Rule       RuleID
	Tenant     TenantID
	Alert      AlertID
	Generation int64
	Severity   int       // rank of the severity that the alert had
	Told       bool      // its channels were told of this very alert
	At         time.Time // of the newest of that
}
