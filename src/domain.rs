//! The vocabulary and the rules: tenants, subscriptions, the catalogue, and the decision.
//!
//! Everything here is pure. Nothing reads a clock, waits, or depends on a database or a wire
//! format.

pub mod actor;
pub mod author;
pub mod calendar;
pub mod catalogue;
pub mod cost;
pub mod decision;
pub mod definitions;
pub mod enabled;
pub mod entitlements;
pub mod explain;
pub mod facts;
pub mod feature;
pub mod feature_change;
pub mod host;
pub mod ids;
pub mod kept;
pub mod limits;
pub mod module;
pub mod module_names;
pub mod money;
pub mod mutation;
pub mod offer;
pub mod resolve;
pub mod role;
pub mod setting;
pub mod signed_lease;
pub mod subdomain;
pub mod subscription;
pub mod template;
pub mod tenant;
pub mod tenant_status;
pub mod upsert;
pub mod usage;
pub mod usage_limit;

pub use actor::ActorName;
pub use author::{Actor, Author, ChangeReason, RequestId};
pub use catalogue::Catalogue;
pub use cost::Cost;
pub use decision::{Decision, Reason, check, check_facts};
pub use definitions::{Definitions, PlanTerms};
pub use entitlements::{Entitlements, Holding, Summary, Terms};
pub use facts::Facts;
pub use feature::{
    FeatureDecision, FeatureDefinition, FeatureReason, FeatureState, FlagName, FlagRow, Flags,
    PlanFeature, check_feature, features_of,
};
pub use feature_change::{
    AffectedTenants, CatalogueEdit, Edited, ExistingTenants, FeatureEntry, FeatureName,
    FeatureUpsert, LimitEntry, LimitUpsert, OwnEdit, OwnFlag, OwnLimit, PlanFeatureEdit,
    PlanLimitEdit, TenantValue, TimeZoneEdit,
};
pub use host::{BaseDomains, Label};
pub use ids::{ModuleCode, TenantId};
pub use kept::{KeptAt, KeptFeature, KeptLimit, KeptTerms};
pub use module::{Module, Plan};
pub use module_names::ModuleNames;
pub use money::Money;
pub use mutation::{
    BillingCycle, Disabling, Enabling, Ends, Mutation, Onboarding, PlanChange, SettableStatus,
    Violation,
};
pub use offer::{ModuleOffer, Offers, PlanOffer};
pub use role::Role;
pub use setting::{Setting, ValueType};
pub use signed_lease::LeaseTerm;
pub use subdomain::{Subdomain, SubdomainRefusal};
pub use subscription::{HeldSubscription, Subscription, SubscriptionStatus};
pub use template::{TemplateFile, TenantTemplate};
pub use tenant::{OwnTerms, Tenant, TenantName};
pub use tenant_status::TenantStatus;
pub use upsert::{ModuleUpsert, PlanUpsert};
pub use usage::{
    Corrected, CountableModules, Counter, CounterId, Event, KeyId, KeyRow, KeyState, Lease,
    LeaseRequest, Leased, Ledger, MeterId, Period, Recorded, Reservation, Reserved, Settled,
    Unsettled, UsageKey, UsedAt,
};
pub use usage_limit::{
    LimitDecision, LimitDefinition, LimitEnforcement, LimitInForce, LimitKind, LimitOverride,
    LimitReason, LimitSaid, LimitSource, Wanted, check_limit, limits_of,
};
