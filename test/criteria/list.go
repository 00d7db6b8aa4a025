package main

// A criterion is shown by tests, by a part of the bench, or by both.
type criterion struct {
	number int
	name   string
	tests  []suite
	bench  string // parts, by comma
}

// A suite is tests of one package.
type suite struct {
	pkg   string
	names []string
}

// criteria are those of docs/criteria.md, which says what each test is there for.
var criteria = []criterion{
	{1, "no loss when killed", []suite{
		{"test/e2e", []string{"TestNothingIsLostWhenKilled", "TestIdempotencyKeyAcrossKill"}},
	}, ""},
	{2, "signatures proved by others", []suite{
		{"relay/sign", []string{"TestKnownAnswer", "TestKnownAnswerOfAPair", "TestVerifyRefuses", "TestAnyChangeIsRefused", "TestParseSecret"}},
		{"relay/webhook", []string{"TestSignatures", "TestReceiverTakesIt", "TestOrderOfSignatures", "TestNothingIsSentUnsigned"}},
		{"test/conformance/signatures", []string{"TestOthersAccept", "TestNoneFailsWhileSecretsTurn"}},
	}, ""},
	{3, "schedule", []suite{
		{"relay", []string{
			"TestDefaultSchedule", "TestWaitsOfTheDefaultSchedule", "TestWaitStaysInItsBand", "TestRetryAfter", "TestPolicyOf", "TestBaseWait",
			"TestFollowsTheSchedule", "TestARestartNeitherRepeatsNorSkipsAStep", "TestRetryAfterIsAFloor", "TestRetryAfterPausesTheEndpoint",
			"TestGoneSwitchesOffAndHolds", "TestTheReceiversWish", "TestConclude",
		}},
		{"relay/webhook", []string{"TestRetryAfterOfEveryStatus", "TestReceiverMaySayMore", "TestKit"}},
		{"test/e2e", []string{"TestRetriesAsScheduled", "TestGoneDisables", "TestRetryAfterIsHonoured"}},
	}, ""},
	{4, "refused targets", []suite{
		{"internal/safehttp", []string{
			"TestCheckNamesTheReason", "TestDialGivesTheSameVerdict", "TestNoConnectionIsMade", "TestRebindingIsRefused", "TestOneLookup", "TestAnswersOfANameServer",
			"TestAllowOpensExactlyItsNetworks", "TestRedirectsAreNotFollowed", "TestTheEnvironmentsProxyIsIgnored", "TestThroughAProxy",
		}},
		{"internal/app", []string{"TestRefusedAtEveryStepAlike", "TestRefusedEverywhereAlike"}},
		{"test/e2e", []string{"TestForbiddenTargets"}},
	}, ""},
	{5, "hostile receivers", []suite{
		{"relay/webhook", []string{"TestHostileReceivers", "TestWhatHostileReceiversTake"}},
		{"internal/safehttp", []string{"TestOneDeadlineForAll", "TestHeadIsBounded", "TestBodyIsBounded", "TestNothingIsInflated"}},
	}, ""},
	{6, "isolation and pace", []suite{
		{"relay", []string{"TestBlackHolesDoNotStarveOthers", "TestManyThatHangLeaveRoom", "TestABacklogDoesNotStarveOthers", "TestRateLimit", "TestNewOnesGoFirst"}},
	}, "disk,http,isolation"},
	{7, "order by key", []suite{
		{"internal/app", []string{"TestOrderByKey"}},
	}, "fifo"},
	{8, "throughput", nil, "disk,http,deliver"},
	{9, "outage, breaker, replay", []suite{
		{"relay", []string{
			"TestALongOutage", "TestProbesDoNotUseUpTheSchedule", "TestTheShareOfFailuresOpens", "TestThrottlingOpensNothing", "TestAProbeRespectsRetryAfter",
			"TestAnOpenBreakerIsNobodyElsesMatter", "TestRecovery",
		}},
		{"internal/app", []string{"TestAnOutage", "TestSwitchedOffAndOn", "TestReplay", "TestAReplayOverARestart", "TestRetryByHand"}},
		{"test/e2e", []string{"TestHeldWhileDisabled", "TestGoneDisables", "TestReplaySurvivesAKill"}},
	}, "outage"},
	{10, "evidence", []suite{
		{"relay", []string{"TestOutcomesOutliveAFailingStore", "TestAnOutcomeCountsOnce", "TestACrashRepeatsAfterTheLease"}},
		{"internal/app", []string{"TestEveryWriteOfADeliveryFails"}},
		{"internal/store/sqlite", []string{"TestEngine"}},
		{"audit", []string{"TestEveryBitIsGuarded", "TestEveryBitOfAnExportCounts", "TestTamperMatrix"}},
		{"test/conformance/audit", []string{"TestVerifiersAgree", "TestCanonicalFormAgrees"}},
		{"test/e2e", []string{"TestEvidence", "TestEveryWriteFails", "TestFullDisk", "TestAuditTampering"}},
	}, ""},
}
