package entitlements

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"google.golang.org/grpc/codes"
)

const (
	byTarget  = openfeature.TargetingMatchReason
	byNothing = openfeature.DefaultReason
	byError   = openfeature.ErrorReason
)

var ctx = context.Background()

func tenantContext(number int) openfeature.EvaluationContext {
	return openfeature.NewEvaluationContext(tenantID(number), nil)
}

// seen is what OpenFeature's SDK gives whoever asks.
type seen struct {
	value  any
	reason openfeature.Reason
	code   openfeature.ErrorCode
}

func sees[T any](told openfeature.GenericEvaluationDetails[T], _ error) seen {
	return seen{told.Value, told.Reason, told.ErrorCode}
}

func evaluate(flag string, fallback any, about openfeature.EvaluationContext) seen {
	sdk := openfeature.NewDefaultClient()
	switch fallback := fallback.(type) {
	case bool:
		return sees(sdk.BooleanValueDetails(ctx, flag, fallback, about))
	case string:
		return sees(sdk.StringValueDetails(ctx, flag, fallback, about))
	case int64:
		return sees(sdk.IntValueDetails(ctx, flag, fallback, about))
	case float64:
		return sees(sdk.FloatValueDetails(ctx, flag, fallback, about))
	}
	return sees(sdk.ObjectValueDetails(ctx, flag, fallback, about))
}

// provide has the SDK ask the player's client.
func (p *player) provide(set func(openfeature.FeatureProvider) error) *Provider {
	p.t.Helper()
	provider := NewProvider(p.client)
	provider.patience = time.Millisecond
	if err := set(provider); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(openfeature.Shutdown)
	return provider
}

// provided has features of every kind, and the SDK asks for them.
func provided(t *testing.T, rule Rule) *player {
	player := having(t, rule,
		on("plain", byTenant, nil), off("off", byPlan), on("text", byPlan, "csv"), on("whole", byDefault, 7),
		on("part", byTenant, 1.5), on("huge", byTenant, 1e300), on("flag", byTenant, true), on("a/b", byTenant, nil),
		on("object", byTenant, map[string]any{"formats": []any{"csv"}}), on("list", byTenant, []any{"csv", "pdf"}),
		on("newer", 99, nil))
	player.provide(openfeature.SetProviderAndWait)
	return player
}

func TestABooleanIsWhetherItIsOnAndNeverTheCodesDefault(t *testing.T) {
	provided(t, Rule{})
	for flag, expected := range map[string]seen{
		"finance/plain": {true, byTarget, ""},
		"finance/off":   {false, byTarget, ""},
		"finance/whole": {true, byNothing, ""},
		"finance/a/b":   {true, byTarget, ""},
		"finance/none":  {false, byNothing, ""},
		"finance/newer": {true, openfeature.UnknownReason, ""},
		"hrms/payroll":  {false, byNothing, ""},
	} {
		for _, fallback := range []bool{true, false} {
			if said := evaluate(flag, fallback, tenantContext(1)); said != expected {
				t.Errorf("%s: %v", flag, said)
			}
		}
	}
}

func TestAnotherTypeIsTheValueOrTheCodesDefaultWhereItHasNone(t *testing.T) {
	provided(t, Rule{})
	object, mismatch := map[string]any{"a": 1}, openfeature.TypeMismatchCode
	for _, made := range []struct {
		flag     string
		fallback any
		expected seen
	}{
		{"finance/text", "pdf", seen{"csv", byTarget, ""}},
		{"finance/whole", int64(3), seen{int64(7), byNothing, ""}},
		{"finance/part", 0.5, seen{1.5, byTarget, ""}},
		{"finance/whole", 0.5, seen{7.0, byNothing, ""}},
		{"finance/object", object, seen{map[string]any{"formats": []any{"csv"}}, byTarget, ""}},
		{"finance/list", []any{}, seen{[]any{"csv", "pdf"}, byTarget, ""}},
		{"finance/off", "pdf", seen{"pdf", byNothing, ""}},
		{"finance/plain", "pdf", seen{"pdf", byNothing, ""}},
		{"finance/none", "pdf", seen{"pdf", byNothing, ""}},
		{"hrms/payroll", object, seen{object, byNothing, ""}},
		{"finance/whole", "pdf", seen{"pdf", byError, mismatch}},
		{"finance/part", int64(3), seen{int64(3), byError, mismatch}},
		{"finance/huge", int64(3), seen{int64(3), byError, mismatch}},
		{"finance/flag", int64(3), seen{int64(3), byError, mismatch}},
		{"finance/text", 0.5, seen{0.5, byError, mismatch}},
		{"finance/text", object, seen{object, byError, mismatch}},
	} {
		if said := evaluate(made.flag, made.fallback, tenantContext(1)); !reflect.DeepEqual(said, made.expected) {
			t.Errorf("%s: %v", made.flag, said)
		}
	}
}

func TestWhatNamesNoTenantOrNoFeatureIsAnError(t *testing.T) {
	player := provided(t, Rule{})
	asked := len(player.server.questions())
	for _, made := range []struct {
		flag, key string
		code      openfeature.ErrorCode
	}{
		{"finance/plain", "", openfeature.TargetingKeyMissingCode},
		{"finance/plain", "acme", openfeature.InvalidContextCode},
		{"finance/plain", strings.ReplaceAll(tenantID(1), "-", ""), openfeature.InvalidContextCode},
		{"finance/plain", "{" + tenantID(1)[2:] + "}", openfeature.InvalidContextCode},
		{"finance", tenantID(1), openfeature.FlagNotFoundCode},
		{"/plain", tenantID(1), openfeature.FlagNotFoundCode},
		{"finance/", tenantID(1), openfeature.FlagNotFoundCode},
	} {
		said := evaluate(made.flag, true, openfeature.NewEvaluationContext(made.key, nil))
		if said != (seen{true, byError, made.code}) {
			t.Errorf("%v: %v", made, said)
		}
		if said := evaluate(made.flag, "pdf", openfeature.NewEvaluationContext(made.key, nil)); said.code != made.code {
			t.Errorf("%v: %v", made, said)
		}
	}
	player.hasAsked(asked)
}

func TestTheFlagsMetadataSayWhy(t *testing.T) {
	provided(t, Rule{})
	sdk := openfeature.NewDefaultClient()
	for flag, expected := range map[string]openfeature.FlagMetadata{
		"finance/off":   {"entitlement.reason": "PLAN", "module.reason": "ENABLED"},
		"finance/newer": {"entitlement.reason": "UNSPECIFIED", "module.reason": "ENABLED"},
		"hrms/payroll":  {"entitlement.reason": "MODULE_DENIED", "module.reason": "NOT_SUBSCRIBED"},
	} {
		expected["revision"], expected["stale"] = int64(9), false
		told, _ := sdk.BooleanValueDetails(ctx, flag, true, tenantContext(1))
		if !reflect.DeepEqual(told.FlagMetadata, expected) {
			t.Errorf("%s: %v", flag, told.FlagMetadata)
		}
	}
}

func TestAServerThatIsOlderThanFeaturesIsAnError(t *testing.T) {
	player := provided(t, Rule{Allow: true})
	player.take(step{Server: &facts{Tenant: 1, Revision: 9, Modules: map[string]right{"finance": {}}, IsOlder: true}})
	if said := evaluate("finance/plain", false, tenantContext(1)); said != (seen{false, byError, openfeature.GeneralCode}) {
		t.Fatal(said)
	}
}

func TestInAnOutageAnswersAreStaleByTheRule(t *testing.T) {
	player := provided(t, Rule{Stale: time.Hour})
	evaluate("finance/plain", false, tenantContext(1))
	player.client.Ended()
	player.set(func(server *server) { server.second, server.fails = 31, codes.Unavailable })
	for _, made := range []struct {
		fallback, value any
		tenant          int
	}{
		{false, true, 1}, {"pdf", "pdf", 1}, {true, false, 2},
	} {
		said := evaluate("finance/plain", made.fallback, tenantContext(made.tenant))
		if said != (seen{made.value, "STALE", ""}) {
			t.Errorf("%v: %v", made, said)
		}
	}
}

// heard are the events of the provider, in order.
type heard struct {
	mu     sync.Mutex
	events []openfeature.EventType
}

func listen() *heard {
	told := &heard{}
	for _, event := range []openfeature.EventType{
		openfeature.ProviderReady, openfeature.ProviderStale, openfeature.ProviderError,
	} {
		note := func(openfeature.EventDetails) {
			told.mu.Lock()
			defer told.mu.Unlock()
			told.events = append(told.events, event)
		}
		openfeature.AddHandler(event, &note)
	}
	return told
}

func (h *heard) are(expected ...openfeature.EventType) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Equal(h.events, expected)
}

// until asks until it is so: the SDK hears of events by itself.
func until(t *testing.T, isSo func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !isSo(); {
		if time.Now().After(deadline) {
			t.Fatal("it never was so")
		}
	}
}

func untilState(t *testing.T, state openfeature.State) {
	t.Helper()
	until(t, func() bool { return openfeature.NewDefaultClient().State() == state })
}

func TestItIsStaleWhileChangesAreNotReceivedAndReadyAgain(t *testing.T) {
	player := provided(t, Rule{})
	told := listen()
	untilState(t, openfeature.ReadyState)
	player.client.Ended()
	untilState(t, openfeature.StaleState)
	player.connect()
	untilState(t, openfeature.ReadyState)
	until(t, func() bool {
		return told.are(openfeature.ProviderReady, openfeature.ProviderStale, openfeature.ProviderReady)
	})
}

func TestAServerThatLagsMakesItStale(t *testing.T) {
	player := provided(t, Rule{})
	player.tell(told{Heartbeat: &struct{ Lag int }{10}})
	untilState(t, openfeature.StaleState)
	player.tell(told{Heartbeat: &struct{ Lag int }{}})
	untilState(t, openfeature.ReadyState)
}

func TestSilenceMakesItStaleThoughNothingTellsIt(t *testing.T) {
	var mu sync.Mutex
	var jump time.Duration
	began := time.Now()
	client := New(&server{}, Rule{}, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return beginning.Add(time.Since(began) + jump)
	})
	player := &player{t: t, client: client}
	player.connect()
	player.provide(openfeature.SetProviderAndWait)
	untilState(t, openfeature.ReadyState)
	mu.Lock()
	jump = trust - 20*time.Millisecond
	mu.Unlock()
	// Has it look how long it has to wait: not for long any more.
	player.tell(told{TenantChanged: &struct {
		Tenant   int
		Revision uint64
	}{1, 1}})
	untilState(t, openfeature.StaleState)
}

func TestWithoutAServerItIsStaleUntilThereIsOne(t *testing.T) {
	for name, set := range map[string]func(openfeature.FeatureProvider) error{
		"waiting": openfeature.SetProviderAndWait, "by itself": openfeature.SetProvider,
	} {
		t.Run(name, func(t *testing.T) {
			player := newPlayer(t, Rule{})
			player.take(step{Fails: []byte(`"UNAVAILABLE"`)})
			player.provide(set)
			untilState(t, openfeature.StaleState)
			// It answers by the rule: a flag is off, whatever the code would have.
			if said := evaluate("finance/plain", true, tenantContext(1)); said != (seen{false, "STALE", ""}) {
				t.Fatal(said)
			}
			player.connect()
			untilState(t, openfeature.ReadyState)
		})
	}
}

func TestItWaitsForChangesBeforeItIsReady(t *testing.T) {
	player := newPlayer(t, Rule{})
	provider := NewProvider(player.client)
	provider.patience = patience
	t.Cleanup(openfeature.Shutdown)
	told := listen()
	if err := openfeature.SetProvider(provider); err != nil {
		t.Fatal(err)
	}
	player.connect()
	untilState(t, openfeature.ReadyState)
	until(t, func() bool { return told.are(openfeature.ProviderReady) })
}

func TestAnotherProviderOfThisKindTakesItsPlace(t *testing.T) {
	provided(t, Rule{})
	player := newPlayer(t, Rule{})
	player.provide(openfeature.SetProviderAndWait)
	untilState(t, openfeature.StaleState)
	player.connect()
	untilState(t, openfeature.ReadyState)
}

func TestShutDownItLeavesTheClientToTheApplication(t *testing.T) {
	player := having(t, Rule{}, on("plain", byTenant, nil))
	provider := player.provide(openfeature.SetProviderAndWait)
	openfeature.Shutdown()
	if provider.stop.Load() != nil {
		t.Fatal("it goes on")
	}
	if said := player.feature("finance", "plain"); !said.Enabled {
		t.Fatal(said)
	}
}
