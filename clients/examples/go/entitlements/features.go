package entitlements

import (
	"context"
	"strings"

	pb "example.com/erp/gen/entitlement/v1"
	"google.golang.org/protobuf/types/known/structpb"
)

const moduleDenied = pb.FeatureReason_FEATURE_REASON_MODULE_DENIED

// Feature says whether a feature is on. ByRule without a Reason: nobody could be asked, so answer "off" with 503, not 403.
type Feature struct {
	Enabled, Stale, ByRule bool
	Reason                 pb.FeatureReason
	ModuleReason           pb.DecisionReason
	Value                  *structpb.Value // nil: it has none, or is off. Others are given the same: do not change it.
	Revision               uint64
}

// Feature answers from what is held, as Check does: on or off where the list grants the module.
func (c *Client) Feature(ctx context.Context, id, module, key string, least uint64) (Feature, error) {
	q := question{kind: aFeature, id: strings.ToLower(id), module: module, feature: key, least: least}
	h, byRule, err := c.decide(ctx, q)
	if err != nil {
		return Feature{}, err
	}
	if h == nil {
		return Feature{Enabled: c.rule.Allow, Stale: true, ByRule: true}, nil
	}
	feature := h.featureOf(q)
	feature.Stale, feature.ByRule = h.fresh.GetStale() || byRule, byRule
	feature.Revision = h.fresh.GetRevision()
	return feature, nil
}

func (h *held) featureOf(q question) Feature {
	switch {
	case h.list != nil:
		said := h.listed(q)
		return Feature{Enabled: said.Enabled, Reason: said.Reason, ModuleReason: enabled, Value: said.Value}
	case h.decision != nil:
		return Feature{Reason: moduleDenied, ModuleReason: h.decision.Reason}
	}
	said := h.feature
	return Feature{
		Enabled: said.GetEnabled(), Reason: said.GetReason(), ModuleReason: said.GetModuleReason(), Value: said.GetValue(),
	}
}

// listed: a list that decides has all features of the module, at its revision.
func (h *held) listed(q question) *pb.Feature {
	for _, entry := range h.list.Modules {
		for _, feature := range entry.Features {
			if entry.Code == q.module && feature.Key == q.feature {
				return feature
			}
		}
	}
	return &pb.Feature{Reason: pb.FeatureReason_FEATURE_REASON_NOT_FOUND}
}

// takeIn: where the module is denied, that is an answer for each of its features, and held as one.
func (h *held) takeIn(told *pb.CheckFeatureResponse) {
	said := told.GetDecision()
	h.fresh = told.GetFreshness()
	if said.GetReason() != moduleDenied {
		h.feature = said
		return
	}
	// The plans that it names have the feature as well: others may have the module alone.
	h.decision = &pb.CheckModuleResponse{Reason: said.ModuleReason, Message: said.Message}
}
