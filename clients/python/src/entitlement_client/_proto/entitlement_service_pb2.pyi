import datetime

from . import decision_pb2 as _decision_pb2
from . import explanation_pb2 as _explanation_pb2
from . import feature_pb2 as _feature_pb2
from . import tenant_pb2 as _tenant_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ResolveTenantRequest(_message.Message):
    __slots__ = ("tenant_id", "host", "bearer_token")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    BEARER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    host: str
    bearer_token: str
    def __init__(self, tenant_id: _Optional[str] = ..., host: _Optional[str] = ..., bearer_token: _Optional[str] = ...) -> None: ...

class ResolveTenantResponse(_message.Message):
    __slots__ = ("tenant", "source", "verified", "freshness")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    tenant: _tenant_pb2.Tenant
    source: _tenant_pb2.TenantSource
    verified: bool
    freshness: _decision_pb2.Freshness
    def __init__(self, tenant: _Optional[_Union[_tenant_pb2.Tenant, _Mapping]] = ..., source: _Optional[_Union[_tenant_pb2.TenantSource, str]] = ..., verified: bool = ..., freshness: _Optional[_Union[_decision_pb2.Freshness, _Mapping]] = ...) -> None: ...

class CheckModuleRequest(_message.Message):
    __slots__ = ("tenant_id", "module_code", "min_revision", "at")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    module_code: str
    min_revision: int
    at: _timestamp_pb2.Timestamp
    def __init__(self, tenant_id: _Optional[str] = ..., module_code: _Optional[str] = ..., min_revision: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CheckModuleResponse(_message.Message):
    __slots__ = ("allowed", "reason", "message", "freshness", "plan_slugs")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUGS_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    reason: _decision_pb2.DecisionReason
    message: str
    freshness: _decision_pb2.Freshness
    plan_slugs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, allowed: bool = ..., reason: _Optional[_Union[_decision_pb2.DecisionReason, str]] = ..., message: _Optional[str] = ..., freshness: _Optional[_Union[_decision_pb2.Freshness, _Mapping]] = ..., plan_slugs: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchCheckModulesRequest(_message.Message):
    __slots__ = ("tenant_id", "module_codes", "min_revision", "at")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODES_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    module_codes: _containers.RepeatedScalarFieldContainer[str]
    min_revision: int
    at: _timestamp_pb2.Timestamp
    def __init__(self, tenant_id: _Optional[str] = ..., module_codes: _Optional[_Iterable[str]] = ..., min_revision: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BatchCheckModulesResponse(_message.Message):
    __slots__ = ("decisions", "freshness")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[_decision_pb2.ModuleDecision]
    freshness: _decision_pb2.Freshness
    def __init__(self, decisions: _Optional[_Iterable[_Union[_decision_pb2.ModuleDecision, _Mapping]]] = ..., freshness: _Optional[_Union[_decision_pb2.Freshness, _Mapping]] = ...) -> None: ...

class CheckFeatureRequest(_message.Message):
    __slots__ = ("tenant_id", "module_code", "feature_key", "min_revision", "at")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    module_code: str
    feature_key: str
    min_revision: int
    at: _timestamp_pb2.Timestamp
    def __init__(self, tenant_id: _Optional[str] = ..., module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., min_revision: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CheckFeatureResponse(_message.Message):
    __slots__ = ("decision", "freshness")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    decision: _feature_pb2.FeatureDecision
    freshness: _decision_pb2.Freshness
    def __init__(self, decision: _Optional[_Union[_feature_pb2.FeatureDecision, _Mapping]] = ..., freshness: _Optional[_Union[_decision_pb2.Freshness, _Mapping]] = ...) -> None: ...

class BatchCheckFeaturesRequest(_message.Message):
    __slots__ = ("tenant_id", "features", "min_revision", "at")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    features: _containers.RepeatedCompositeFieldContainer[_feature_pb2.FeatureName]
    min_revision: int
    at: _timestamp_pb2.Timestamp
    def __init__(self, tenant_id: _Optional[str] = ..., features: _Optional[_Iterable[_Union[_feature_pb2.FeatureName, _Mapping]]] = ..., min_revision: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BatchCheckFeaturesResponse(_message.Message):
    __slots__ = ("decisions", "freshness")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[_feature_pb2.FeatureDecision]
    freshness: _decision_pb2.Freshness
    def __init__(self, decisions: _Optional[_Iterable[_Union[_feature_pb2.FeatureDecision, _Mapping]]] = ..., freshness: _Optional[_Union[_decision_pb2.Freshness, _Mapping]] = ...) -> None: ...

class CheckLimitRequest(_message.Message):
    __slots__ = ("tenant_id", "limit_key", "amount", "observed", "min_revision", "at")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    limit_key: str
    amount: int
    observed: int
    min_revision: int
    at: _timestamp_pb2.Timestamp
    def __init__(self, tenant_id: _Optional[str] = ..., limit_key: _Optional[str] = ..., amount: _Optional[int] = ..., observed: _Optional[int] = ..., min_revision: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CheckLimitResponse(_message.Message):
    __slots__ = ("allowed", "reason", "message", "limit", "used", "remaining", "source", "kind", "enforcement", "plan_slugs", "freshness", "tenant_reason", "held", "resets_at", "usage_as_of")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUGS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    TENANT_REASON_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    RESETS_AT_FIELD_NUMBER: _ClassVar[int]
    USAGE_AS_OF_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    reason: _feature_pb2.LimitReason
    message: str
    limit: int
    used: int
    remaining: int
    source: _feature_pb2.LimitSource
    kind: _feature_pb2.LimitKind
    enforcement: _feature_pb2.LimitEnforcement
    plan_slugs: _containers.RepeatedScalarFieldContainer[str]
    freshness: _decision_pb2.Freshness
    tenant_reason: _decision_pb2.DecisionReason
    held: int
    resets_at: _timestamp_pb2.Timestamp
    usage_as_of: _timestamp_pb2.Timestamp
    def __init__(self, allowed: bool = ..., reason: _Optional[_Union[_feature_pb2.LimitReason, str]] = ..., message: _Optional[str] = ..., limit: _Optional[int] = ..., used: _Optional[int] = ..., remaining: _Optional[int] = ..., source: _Optional[_Union[_feature_pb2.LimitSource, str]] = ..., kind: _Optional[_Union[_feature_pb2.LimitKind, str]] = ..., enforcement: _Optional[_Union[_feature_pb2.LimitEnforcement, str]] = ..., plan_slugs: _Optional[_Iterable[str]] = ..., freshness: _Optional[_Union[_decision_pb2.Freshness, _Mapping]] = ..., tenant_reason: _Optional[_Union[_decision_pb2.DecisionReason, str]] = ..., held: _Optional[int] = ..., resets_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., usage_as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListEnabledModulesRequest(_message.Message):
    __slots__ = ("tenant_id", "min_revision", "at", "include_upcoming", "include_features")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_UPCOMING_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FEATURES_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    min_revision: int
    at: _timestamp_pb2.Timestamp
    include_upcoming: bool
    include_features: bool
    def __init__(self, tenant_id: _Optional[str] = ..., min_revision: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., include_upcoming: bool = ..., include_features: bool = ...) -> None: ...

class EnabledModule(_message.Message):
    __slots__ = ("code", "name", "category", "display_order", "is_base_module", "is_trial", "starts_at", "expires_at", "trial_ends_at", "valid_until", "sections", "frontend_routes", "features")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_ORDER_FIELD_NUMBER: _ClassVar[int]
    IS_BASE_MODULE_FIELD_NUMBER: _ClassVar[int]
    IS_TRIAL_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    TRIAL_ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    FRONTEND_ROUTES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    code: str
    name: str
    category: str
    display_order: int
    is_base_module: bool
    is_trial: bool
    starts_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    trial_ends_at: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    sections: _containers.RepeatedScalarFieldContainer[int]
    frontend_routes: _containers.RepeatedScalarFieldContainer[str]
    features: _containers.RepeatedCompositeFieldContainer[_feature_pb2.Feature]
    def __init__(self, code: _Optional[str] = ..., name: _Optional[str] = ..., category: _Optional[str] = ..., display_order: _Optional[int] = ..., is_base_module: bool = ..., is_trial: bool = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., trial_ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sections: _Optional[_Iterable[int]] = ..., frontend_routes: _Optional[_Iterable[str]] = ..., features: _Optional[_Iterable[_Union[_feature_pb2.Feature, _Mapping]]] = ...) -> None: ...

class ListEnabledModulesResponse(_message.Message):
    __slots__ = ("modules", "tenant_status", "freshness", "limits", "limit_enforcement")
    MODULES_FIELD_NUMBER: _ClassVar[int]
    TENANT_STATUS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    modules: _containers.RepeatedCompositeFieldContainer[EnabledModule]
    tenant_status: _tenant_pb2.TenantStatus
    freshness: _decision_pb2.Freshness
    limits: _containers.RepeatedCompositeFieldContainer[_feature_pb2.Limit]
    limit_enforcement: _feature_pb2.LimitEnforcement
    def __init__(self, modules: _Optional[_Iterable[_Union[EnabledModule, _Mapping]]] = ..., tenant_status: _Optional[_Union[_tenant_pb2.TenantStatus, str]] = ..., freshness: _Optional[_Union[_decision_pb2.Freshness, _Mapping]] = ..., limits: _Optional[_Iterable[_Union[_feature_pb2.Limit, _Mapping]]] = ..., limit_enforcement: _Optional[_Union[_feature_pb2.LimitEnforcement, str]] = ...) -> None: ...

class AuthorizeRequest(_message.Message):
    __slots__ = ("tenant_id", "host", "bearer_token", "any_of_module_codes", "feature_key")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    BEARER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_MODULE_CODES_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    host: str
    bearer_token: str
    any_of_module_codes: _containers.RepeatedScalarFieldContainer[str]
    feature_key: str
    def __init__(self, tenant_id: _Optional[str] = ..., host: _Optional[str] = ..., bearer_token: _Optional[str] = ..., any_of_module_codes: _Optional[_Iterable[str]] = ..., feature_key: _Optional[str] = ...) -> None: ...

class AuthorizeResponse(_message.Message):
    __slots__ = ("tenant", "source", "verified", "decision", "freshness", "feature_decision")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_DECISION_FIELD_NUMBER: _ClassVar[int]
    tenant: _tenant_pb2.Tenant
    source: _tenant_pb2.TenantSource
    verified: bool
    decision: _decision_pb2.ModuleDecision
    freshness: _decision_pb2.Freshness
    feature_decision: _feature_pb2.FeatureDecision
    def __init__(self, tenant: _Optional[_Union[_tenant_pb2.Tenant, _Mapping]] = ..., source: _Optional[_Union[_tenant_pb2.TenantSource, str]] = ..., verified: bool = ..., decision: _Optional[_Union[_decision_pb2.ModuleDecision, _Mapping]] = ..., freshness: _Optional[_Union[_decision_pb2.Freshness, _Mapping]] = ..., feature_decision: _Optional[_Union[_feature_pb2.FeatureDecision, _Mapping]] = ...) -> None: ...

class ExplainModuleRequest(_message.Message):
    __slots__ = ("tenant", "module_code", "at")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    module_code: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, tenant: _Optional[str] = ..., module_code: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExplainModuleResponse(_message.Message):
    __slots__ = ("at", "rules", "tenant", "module", "subscriptions", "decision", "cached", "revision")
    AT_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    rules: _containers.RepeatedCompositeFieldContainer[_explanation_pb2.Rule]
    tenant: _explanation_pb2.TenantFacts
    module: _explanation_pb2.ModuleFacts
    subscriptions: _containers.RepeatedCompositeFieldContainer[_explanation_pb2.SubscriptionFacts]
    decision: _decision_pb2.ModuleDecision
    cached: _explanation_pb2.CachedAnswer
    revision: int
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rules: _Optional[_Iterable[_Union[_explanation_pb2.Rule, _Mapping]]] = ..., tenant: _Optional[_Union[_explanation_pb2.TenantFacts, _Mapping]] = ..., module: _Optional[_Union[_explanation_pb2.ModuleFacts, _Mapping]] = ..., subscriptions: _Optional[_Iterable[_Union[_explanation_pb2.SubscriptionFacts, _Mapping]]] = ..., decision: _Optional[_Union[_decision_pb2.ModuleDecision, _Mapping]] = ..., cached: _Optional[_Union[_explanation_pb2.CachedAnswer, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ExplainFeatureRequest(_message.Message):
    __slots__ = ("tenant", "module_code", "feature_key", "at")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    module_code: str
    feature_key: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, tenant: _Optional[str] = ..., module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExplainFeatureResponse(_message.Message):
    __slots__ = ("at", "rules", "tenant", "module", "flags", "plan", "definition", "module_decision", "decision", "cached", "revision", "catalogue_revision", "kept")
    AT_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    MODULE_DECISION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    rules: _containers.RepeatedCompositeFieldContainer[_explanation_pb2.Rule]
    tenant: _explanation_pb2.TenantFacts
    module: _explanation_pb2.ModuleFacts
    flags: _containers.RepeatedCompositeFieldContainer[_explanation_pb2.FlagFacts]
    plan: _explanation_pb2.PlanFeatureFacts
    definition: _explanation_pb2.FeatureFacts
    module_decision: _decision_pb2.ModuleDecision
    decision: _feature_pb2.FeatureDecision
    cached: _explanation_pb2.CachedAnswer
    revision: int
    catalogue_revision: int
    kept: _explanation_pb2.KeptFeatureFacts
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rules: _Optional[_Iterable[_Union[_explanation_pb2.Rule, _Mapping]]] = ..., tenant: _Optional[_Union[_explanation_pb2.TenantFacts, _Mapping]] = ..., module: _Optional[_Union[_explanation_pb2.ModuleFacts, _Mapping]] = ..., flags: _Optional[_Iterable[_Union[_explanation_pb2.FlagFacts, _Mapping]]] = ..., plan: _Optional[_Union[_explanation_pb2.PlanFeatureFacts, _Mapping]] = ..., definition: _Optional[_Union[_explanation_pb2.FeatureFacts, _Mapping]] = ..., module_decision: _Optional[_Union[_decision_pb2.ModuleDecision, _Mapping]] = ..., decision: _Optional[_Union[_feature_pb2.FeatureDecision, _Mapping]] = ..., cached: _Optional[_Union[_explanation_pb2.CachedAnswer, _Mapping]] = ..., revision: _Optional[int] = ..., catalogue_revision: _Optional[int] = ..., kept: _Optional[_Union[_explanation_pb2.KeptFeatureFacts, _Mapping]] = ...) -> None: ...

class ExplainLimitRequest(_message.Message):
    __slots__ = ("tenant", "limit_key", "at", "observed", "amount")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    limit_key: str
    at: _timestamp_pb2.Timestamp
    observed: int
    amount: int
    def __init__(self, tenant: _Optional[str] = ..., limit_key: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., observed: _Optional[int] = ..., amount: _Optional[int] = ...) -> None: ...

class ExplainLimitResponse(_message.Message):
    __slots__ = ("at", "rules", "tenant", "limit_override", "plan", "definition", "decision", "cached", "revision", "catalogue_revision", "kept", "usage")
    AT_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    rules: _containers.RepeatedCompositeFieldContainer[_explanation_pb2.Rule]
    tenant: _explanation_pb2.TenantFacts
    limit_override: _explanation_pb2.LimitOverrideFacts
    plan: _explanation_pb2.PlanLimitFacts
    definition: _explanation_pb2.LimitFacts
    decision: _feature_pb2.LimitDecision
    cached: _explanation_pb2.CachedAnswer
    revision: int
    catalogue_revision: int
    kept: _explanation_pb2.KeptLimitFacts
    usage: _explanation_pb2.UsageFacts
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rules: _Optional[_Iterable[_Union[_explanation_pb2.Rule, _Mapping]]] = ..., tenant: _Optional[_Union[_explanation_pb2.TenantFacts, _Mapping]] = ..., limit_override: _Optional[_Union[_explanation_pb2.LimitOverrideFacts, _Mapping]] = ..., plan: _Optional[_Union[_explanation_pb2.PlanLimitFacts, _Mapping]] = ..., definition: _Optional[_Union[_explanation_pb2.LimitFacts, _Mapping]] = ..., decision: _Optional[_Union[_feature_pb2.LimitDecision, _Mapping]] = ..., cached: _Optional[_Union[_explanation_pb2.CachedAnswer, _Mapping]] = ..., revision: _Optional[int] = ..., catalogue_revision: _Optional[int] = ..., kept: _Optional[_Union[_explanation_pb2.KeptLimitFacts, _Mapping]] = ..., usage: _Optional[_Union[_explanation_pb2.UsageFacts, _Mapping]] = ...) -> None: ...

class ListTenantIdsRequest(_message.Message):
    __slots__ = ("module_code", "page_size", "page_token")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    page_size: int
    page_token: str
    def __init__(self, module_code: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTenantIdsResponse(_message.Message):
    __slots__ = ("tenant_ids", "next_page_token", "as_of")
    TENANT_IDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    tenant_ids: _containers.RepeatedScalarFieldContainer[str]
    next_page_token: str
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, tenant_ids: _Optional[_Iterable[str]] = ..., next_page_token: _Optional[str] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WatchChangesRequest(_message.Message):
    __slots__ = ("tenant_ids", "announce_end", "heartbeat_interval")
    TENANT_IDS_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCE_END_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    tenant_ids: _containers.RepeatedScalarFieldContainer[str]
    announce_end: bool
    heartbeat_interval: _duration_pb2.Duration
    def __init__(self, tenant_ids: _Optional[_Iterable[str]] = ..., announce_end: bool = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchChangesResponse(_message.Message):
    __slots__ = ("opened", "tenant_changed", "catalogue_changed", "transition", "reset", "heartbeat", "ending")
    class Opened(_message.Message):
        __slots__ = ("as_of", "heartbeat_interval")
        AS_OF_FIELD_NUMBER: _ClassVar[int]
        HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
        as_of: _timestamp_pb2.Timestamp
        heartbeat_interval: _duration_pb2.Duration
        def __init__(self, as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    class TenantChanged(_message.Message):
        __slots__ = ("tenant_id", "revision")
        TENANT_ID_FIELD_NUMBER: _ClassVar[int]
        REVISION_FIELD_NUMBER: _ClassVar[int]
        tenant_id: str
        revision: int
        def __init__(self, tenant_id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...
    class CatalogueChanged(_message.Message):
        __slots__ = ("revision",)
        REVISION_FIELD_NUMBER: _ClassVar[int]
        revision: int
        def __init__(self, revision: _Optional[int] = ...) -> None: ...
    class Transition(_message.Message):
        __slots__ = ("tenant_id", "module_code", "at")
        TENANT_ID_FIELD_NUMBER: _ClassVar[int]
        MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
        AT_FIELD_NUMBER: _ClassVar[int]
        tenant_id: str
        module_code: str
        at: _timestamp_pb2.Timestamp
        def __init__(self, tenant_id: _Optional[str] = ..., module_code: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class Reset(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Heartbeat(_message.Message):
        __slots__ = ("lag", "unproven")
        LAG_FIELD_NUMBER: _ClassVar[int]
        UNPROVEN_FIELD_NUMBER: _ClassVar[int]
        lag: _duration_pb2.Duration
        unproven: bool
        def __init__(self, lag: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., unproven: bool = ...) -> None: ...
    class Ending(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    OPENED_FIELD_NUMBER: _ClassVar[int]
    TENANT_CHANGED_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    TRANSITION_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    opened: WatchChangesResponse.Opened
    tenant_changed: WatchChangesResponse.TenantChanged
    catalogue_changed: WatchChangesResponse.CatalogueChanged
    transition: WatchChangesResponse.Transition
    reset: WatchChangesResponse.Reset
    heartbeat: WatchChangesResponse.Heartbeat
    ending: WatchChangesResponse.Ending
    def __init__(self, opened: _Optional[_Union[WatchChangesResponse.Opened, _Mapping]] = ..., tenant_changed: _Optional[_Union[WatchChangesResponse.TenantChanged, _Mapping]] = ..., catalogue_changed: _Optional[_Union[WatchChangesResponse.CatalogueChanged, _Mapping]] = ..., transition: _Optional[_Union[WatchChangesResponse.Transition, _Mapping]] = ..., reset: _Optional[_Union[WatchChangesResponse.Reset, _Mapping]] = ..., heartbeat: _Optional[_Union[WatchChangesResponse.Heartbeat, _Mapping]] = ..., ending: _Optional[_Union[WatchChangesResponse.Ending, _Mapping]] = ...) -> None: ...
