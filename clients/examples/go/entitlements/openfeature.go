package entitlements

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	pb "example.com/erp/gen/entitlement/v1"
	"github.com/open-feature/go-sdk/openfeature"
)

const (
	providerName = "entitlementd"
	unspecified  = "UNSPECIFIED"
	staleReason  = openfeature.Reason("STALE") // OpenFeature has the word, and its SDK does not.
)

// Provider answers OpenFeature's questions by features. A flag's key is "finance/multi_currency", the module and the
// feature's key, and the targeting key is the tenant's UUID.
//
// A boolean is whether the feature is on. Off is false, also for a feature that there is not, and never the code's
// default: that is what an error gives. Any other type is what the feature is set to. Where it is off, or set to nothing,
// the code's default holds, with the reason DEFAULT.
//
//	provider := entitlements.NewProvider(client)
//	err := openfeature.SetProviderAndWait(provider)
//	tenant := openfeature.NewEvaluationContext("00000000-0000-4000-8000-000000000001", nil)
//	isOn := openfeature.NewDefaultClient().Boolean(ctx, "finance/multi_currency", false, tenant)
//
// The client stays the application's, and so does Watch, without which the provider is always STALE.
type Provider struct {
	client   *Client
	patience time.Duration
	events   chan openfeature.Event
	stop     atomic.Pointer[func()] // ends what Init has begun
}

// NewProvider has the client hold features from now on.
func NewProvider(client *Client) *Provider {
	client.HoldFeatures()
	return &Provider{client: client, patience: deadline, events: make(chan openfeature.Event)}
}

func (p *Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: providerName} }

func (p *Provider) Hooks() []openfeature.Hook { return nil }

func (p *Provider) BooleanEvaluation(
	ctx context.Context, flag string, fallback bool, about openfeature.FlattenedContext,
) openfeature.BoolResolutionDetail {
	feature, err := p.ask(ctx, flag, about)
	if err != nil {
		return failed(fallback, err)
	}
	return openfeature.BoolResolutionDetail{Value: feature.Enabled, ProviderResolutionDetail: detail(feature)}
}

func (p *Provider) StringEvaluation(
	ctx context.Context, flag string, fallback string, about openfeature.FlattenedContext,
) openfeature.StringResolutionDetail {
	feature, err := p.ask(ctx, flag, about)
	return valued(feature, err, fallback, as[string])
}

func (p *Provider) FloatEvaluation(
	ctx context.Context, flag string, fallback float64, about openfeature.FlattenedContext,
) openfeature.FloatResolutionDetail {
	feature, err := p.ask(ctx, flag, about)
	return valued(feature, err, fallback, as[float64])
}

func (p *Provider) IntEvaluation(
	ctx context.Context, flag string, fallback int64, about openfeature.FlattenedContext,
) openfeature.IntResolutionDetail {
	feature, err := p.ask(ctx, flag, about)
	return valued(feature, err, fallback, whole)
}

// ObjectEvaluation gives a map[string]any or a []any.
func (p *Provider) ObjectEvaluation(
	ctx context.Context, flag string, fallback any, about openfeature.FlattenedContext,
) openfeature.InterfaceResolutionDetail {
	feature, err := p.ask(ctx, flag, about)
	return valued(feature, err, fallback, structured)
}

func (p *Provider) ask(ctx context.Context, flag string, about openfeature.FlattenedContext) (Feature, error) {
	module, key, _ := strings.Cut(flag, "/")
	if module == "" || key == "" {
		told := fmt.Sprintf("a flag's key is a module and a feature, finance/multi_currency, and not %q", flag)
		return Feature{}, openfeature.NewFlagNotFoundResolutionError(told)
	}
	tenant, err := tenantOf(about)
	if err != nil {
		return Feature{}, err
	}
	return p.client.Feature(ctx, tenant, module, key, 0)
}

var isUUID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`).MatchString

func tenantOf(about openfeature.FlattenedContext) (string, error) {
	tenant, _ := about[openfeature.TargetingKey].(string)
	if tenant == "" {
		return "", openfeature.NewTargetingKeyMissingResolutionError("the targeting key is the tenant's UUID")
	}
	if !isUUID(tenant) {
		told := "the targeting key has to be the tenant's UUID, in the form of 36 characters"
		return "", openfeature.NewInvalidContextResolutionError(told)
	}
	return tenant, nil
}

// valued gives what the feature is set to, as read takes it from JSON.
func valued[T any](
	feature Feature, err error, fallback T, read func(any) (T, bool),
) openfeature.GenericResolutionDetail[T] {
	if err != nil {
		return failed(fallback, err)
	}
	told := openfeature.GenericResolutionDetail[T]{Value: fallback, ProviderResolutionDetail: detail(feature)}
	value := feature.Value.AsInterface()
	if !feature.Enabled || value == nil {
		if !feature.Stale {
			told.Reason = openfeature.DefaultReason
		}
		return told
	}
	isRead := false
	if told.Value, isRead = read(value); !isRead {
		mismatch := fmt.Sprintf("the feature is set to a %T", value)
		return failed(fallback, openfeature.NewTypeMismatchResolutionError(mismatch))
	}
	return told
}

func as[T any](value any) (T, bool) {
	typed, is := value.(T)
	return typed, is
}

// whole: each number travels as a float64.
func whole(value any) (int64, bool) {
	number, is := value.(float64)
	return int64(number), is && math.Trunc(number) == number && -1<<63 <= number && number < 1<<63
}

func structured(value any) (any, bool) {
	switch value.(type) {
	case map[string]any, []any:
		return value, true
	}
	return nil, false
}

func detail(feature Feature) openfeature.ProviderResolutionDetail {
	metadata := openfeature.FlagMetadata{
		"entitlement.reason": word(pb.FeatureReason_name[int32(feature.Reason)], "FEATURE_REASON_"),
		"revision":           int64(feature.Revision),
		"stale":              feature.Stale,
	}
	if module := word(pb.DecisionReason_name[int32(feature.ModuleReason)], "DECISION_REASON_"); module != unspecified {
		metadata["module.reason"] = module
	}
	return openfeature.ProviderResolutionDetail{Reason: reason(feature), FlagMetadata: metadata}
}

// word: a reason that only a newer server knows has no name.
func word(name, prefix string) string {
	if name == "" {
		return unspecified
	}
	return strings.TrimPrefix(name, prefix)
}

func reason(feature Feature) openfeature.Reason {
	if feature.Stale {
		return staleReason
	}
	switch feature.Reason {
	case pb.FeatureReason_FEATURE_REASON_TENANT, pb.FeatureReason_FEATURE_REASON_PLAN:
		return openfeature.TargetingMatchReason
	case moduleDenied, pb.FeatureReason_FEATURE_REASON_NOT_FOUND, pb.FeatureReason_FEATURE_REASON_DEFAULT,
		pb.FeatureReason_FEATURE_REASON_VALUE_UNREADABLE:
		return openfeature.DefaultReason
	}
	return openfeature.UnknownReason
}

// failed is the only way to the code's default for a boolean.
func failed[T any](fallback T, err error) openfeature.GenericResolutionDetail[T] {
	var told openfeature.ResolutionError
	if !errors.As(err, &told) {
		told = openfeature.NewGeneralResolutionError(err.Error())
	}
	return openfeature.GenericResolutionDetail[T]{
		Value: fallback,
		ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
			ResolutionError: told, Reason: openfeature.ErrorReason,
		},
	}
}
