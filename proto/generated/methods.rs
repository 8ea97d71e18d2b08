/// A method of a service that is answered here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// `/entitlement.replication.v1.ReplicationService/GetFacts`
    GetFacts,
    /// `/entitlement.replication.v1.ReplicationService/GetCatalogue`
    GetCatalogue,
    /// `/entitlement.replication.v1.ReplicationService/ListTenantKeys`
    ListTenantKeys,
    /// `/entitlement.replication.v1.ReplicationService/FollowFacts`
    FollowFacts,
    /// `/entitlement.v1.EntitlementService/ResolveTenant`
    ResolveTenant,
    /// `/entitlement.v1.EntitlementService/CheckModule`
    CheckModule,
    /// `/entitlement.v1.EntitlementService/BatchCheckModules`
    BatchCheckModules,
    /// `/entitlement.v1.EntitlementService/ListEnabledModules`
    ListEnabledModules,
    /// `/entitlement.v1.EntitlementService/CheckFeature`
    CheckFeature,
    /// `/entitlement.v1.EntitlementService/BatchCheckFeatures`
    BatchCheckFeatures,
    /// `/entitlement.v1.EntitlementService/CheckLimit`
    CheckLimit,
    /// `/entitlement.v1.EntitlementService/Authorize`
    Authorize,
    /// `/entitlement.v1.EntitlementService/ExplainModule`
    ExplainModule,
    /// `/entitlement.v1.EntitlementService/ExplainFeature`
    ExplainFeature,
    /// `/entitlement.v1.EntitlementService/ExplainLimit`
    ExplainLimit,
    /// `/entitlement.v1.EntitlementService/ListTenantIds`
    ListTenantIds,
    /// `/entitlement.v1.EntitlementService/WatchChanges`
    WatchChanges,
    /// `/entitlement.v1.FeatureAdminService/ListFeatures`
    ListFeatures,
    /// `/entitlement.v1.FeatureAdminService/ListLimits`
    ListLimits,
    /// `/entitlement.v1.FeatureAdminService/UpsertFeature`
    UpsertFeature,
    /// `/entitlement.v1.FeatureAdminService/UpsertLimit`
    UpsertLimit,
    /// `/entitlement.v1.FeatureAdminService/SetTenantFlag`
    SetTenantFlag,
    /// `/entitlement.v1.FeatureAdminService/DeleteTenantFlag`
    DeleteTenantFlag,
    /// `/entitlement.v1.FeatureAdminService/SetLimitOverride`
    SetLimitOverride,
    /// `/entitlement.v1.FeatureAdminService/EndLimitOverride`
    EndLimitOverride,
    /// `/entitlement.v1.FeatureAdminService/EndKeptFeature`
    EndKeptFeature,
    /// `/entitlement.v1.FeatureAdminService/EndKeptLimit`
    EndKeptLimit,
    /// `/entitlement.v1.FeatureAdminService/SetTimeZone`
    SetTimeZone,
    /// `/entitlement.v1.FeatureAdminService/SetPlanFeature`
    SetPlanFeature,
    /// `/entitlement.v1.FeatureAdminService/SetPlanLimit`
    SetPlanLimit,
    /// `/entitlement.v1.FeatureAdminService/PreviewFeatureChange`
    PreviewFeatureChange,
    /// `/entitlement.v1.LeaseService/IssueLease`
    IssueLease,
    /// `/entitlement.v1.TenantAdminService/ListModules`
    ListModules,
    /// `/entitlement.v1.TenantAdminService/ListPlans`
    ListPlans,
    /// `/entitlement.v1.TenantAdminService/UpsertModule`
    UpsertModule,
    /// `/entitlement.v1.TenantAdminService/UpsertPlan`
    UpsertPlan,
    /// `/entitlement.v1.TenantAdminService/GetTenant`
    GetTenant,
    /// `/entitlement.v1.TenantAdminService/ListTenants`
    ListTenants,
    /// `/entitlement.v1.TenantAdminService/CheckSubdomain`
    CheckSubdomain,
    /// `/entitlement.v1.TenantAdminService/OnboardTenant`
    OnboardTenant,
    /// `/entitlement.v1.TenantAdminService/RetryProvisioning`
    RetryProvisioning,
    /// `/entitlement.v1.TenantAdminService/SetTenantStatus`
    SetTenantStatus,
    /// `/entitlement.v1.TenantAdminService/EnableModules`
    EnableModules,
    /// `/entitlement.v1.TenantAdminService/DisableModules`
    DisableModules,
    /// `/entitlement.v1.TenantAdminService/ChangePlan`
    ChangePlan,
    /// `/entitlement.v1.TenantAdminService/PreviewChange`
    PreviewChange,
    /// `/entitlement.v1.TenantAdminService/DeleteTenant`
    DeleteTenant,
    /// `/entitlement.v1.TenantAdminService/ListAuditEvents`
    ListAuditEvents,
    /// `/entitlement.v1.UsageService/ReserveUsage`
    ReserveUsage,
    /// `/entitlement.v1.UsageService/ReleaseUsage`
    ReleaseUsage,
    /// `/entitlement.v1.UsageService/ReconcileUsage`
    ReconcileUsage,
    /// `/entitlement.v1.UsageService/AcquireUsageLease`
    AcquireUsageLease,
    /// `/entitlement.v1.UsageService/SettleUsageLease`
    SettleUsageLease,
    /// `/entitlement.v1.UsageService/RecordUsage`
    RecordUsage,
    /// `/entitlement.v1.UsageService/QueryUsage`
    QueryUsage,
    /// `/envoy.service.auth.v3.Authorization/Check`
    Check,
}

impl Method {
    /// Its name, without its service's.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetFacts => "GetFacts",
            Self::GetCatalogue => "GetCatalogue",
            Self::ListTenantKeys => "ListTenantKeys",
            Self::FollowFacts => "FollowFacts",
            Self::ResolveTenant => "ResolveTenant",
            Self::CheckModule => "CheckModule",
            Self::BatchCheckModules => "BatchCheckModules",
            Self::ListEnabledModules => "ListEnabledModules",
            Self::CheckFeature => "CheckFeature",
            Self::BatchCheckFeatures => "BatchCheckFeatures",
            Self::CheckLimit => "CheckLimit",
            Self::Authorize => "Authorize",
            Self::ExplainModule => "ExplainModule",
            Self::ExplainFeature => "ExplainFeature",
            Self::ExplainLimit => "ExplainLimit",
            Self::ListTenantIds => "ListTenantIds",
            Self::WatchChanges => "WatchChanges",
            Self::ListFeatures => "ListFeatures",
            Self::ListLimits => "ListLimits",
            Self::UpsertFeature => "UpsertFeature",
            Self::UpsertLimit => "UpsertLimit",
            Self::SetTenantFlag => "SetTenantFlag",
            Self::DeleteTenantFlag => "DeleteTenantFlag",
            Self::SetLimitOverride => "SetLimitOverride",
            Self::EndLimitOverride => "EndLimitOverride",
            Self::EndKeptFeature => "EndKeptFeature",
            Self::EndKeptLimit => "EndKeptLimit",
            Self::SetTimeZone => "SetTimeZone",
            Self::SetPlanFeature => "SetPlanFeature",
            Self::SetPlanLimit => "SetPlanLimit",
            Self::PreviewFeatureChange => "PreviewFeatureChange",
            Self::IssueLease => "IssueLease",
            Self::ListModules => "ListModules",
            Self::ListPlans => "ListPlans",
            Self::UpsertModule => "UpsertModule",
            Self::UpsertPlan => "UpsertPlan",
            Self::GetTenant => "GetTenant",
            Self::ListTenants => "ListTenants",
            Self::CheckSubdomain => "CheckSubdomain",
            Self::OnboardTenant => "OnboardTenant",
            Self::RetryProvisioning => "RetryProvisioning",
            Self::SetTenantStatus => "SetTenantStatus",
            Self::EnableModules => "EnableModules",
            Self::DisableModules => "DisableModules",
            Self::ChangePlan => "ChangePlan",
            Self::PreviewChange => "PreviewChange",
            Self::DeleteTenant => "DeleteTenant",
            Self::ListAuditEvents => "ListAuditEvents",
            Self::ReserveUsage => "ReserveUsage",
            Self::ReleaseUsage => "ReleaseUsage",
            Self::ReconcileUsage => "ReconcileUsage",
            Self::AcquireUsageLease => "AcquireUsageLease",
            Self::SettleUsageLease => "SettleUsageLease",
            Self::RecordUsage => "RecordUsage",
            Self::QueryUsage => "QueryUsage",
            Self::Check => "Check",
        }
    }

    /// The path of its requests: its service's full name, and its own.
    pub fn path(self) -> &'static str {
        match self {
            Self::GetFacts => "/entitlement.replication.v1.ReplicationService/GetFacts",
            Self::GetCatalogue => "/entitlement.replication.v1.ReplicationService/GetCatalogue",
            Self::ListTenantKeys => "/entitlement.replication.v1.ReplicationService/ListTenantKeys",
            Self::FollowFacts => "/entitlement.replication.v1.ReplicationService/FollowFacts",
            Self::ResolveTenant => "/entitlement.v1.EntitlementService/ResolveTenant",
            Self::CheckModule => "/entitlement.v1.EntitlementService/CheckModule",
            Self::BatchCheckModules => "/entitlement.v1.EntitlementService/BatchCheckModules",
            Self::ListEnabledModules => "/entitlement.v1.EntitlementService/ListEnabledModules",
            Self::CheckFeature => "/entitlement.v1.EntitlementService/CheckFeature",
            Self::BatchCheckFeatures => "/entitlement.v1.EntitlementService/BatchCheckFeatures",
            Self::CheckLimit => "/entitlement.v1.EntitlementService/CheckLimit",
            Self::Authorize => "/entitlement.v1.EntitlementService/Authorize",
            Self::ExplainModule => "/entitlement.v1.EntitlementService/ExplainModule",
            Self::ExplainFeature => "/entitlement.v1.EntitlementService/ExplainFeature",
            Self::ExplainLimit => "/entitlement.v1.EntitlementService/ExplainLimit",
            Self::ListTenantIds => "/entitlement.v1.EntitlementService/ListTenantIds",
            Self::WatchChanges => "/entitlement.v1.EntitlementService/WatchChanges",
            Self::ListFeatures => "/entitlement.v1.FeatureAdminService/ListFeatures",
            Self::ListLimits => "/entitlement.v1.FeatureAdminService/ListLimits",
            Self::UpsertFeature => "/entitlement.v1.FeatureAdminService/UpsertFeature",
            Self::UpsertLimit => "/entitlement.v1.FeatureAdminService/UpsertLimit",
            Self::SetTenantFlag => "/entitlement.v1.FeatureAdminService/SetTenantFlag",
            Self::DeleteTenantFlag => "/entitlement.v1.FeatureAdminService/DeleteTenantFlag",
            Self::SetLimitOverride => "/entitlement.v1.FeatureAdminService/SetLimitOverride",
            Self::EndLimitOverride => "/entitlement.v1.FeatureAdminService/EndLimitOverride",
            Self::EndKeptFeature => "/entitlement.v1.FeatureAdminService/EndKeptFeature",
            Self::EndKeptLimit => "/entitlement.v1.FeatureAdminService/EndKeptLimit",
            Self::SetTimeZone => "/entitlement.v1.FeatureAdminService/SetTimeZone",
            Self::SetPlanFeature => "/entitlement.v1.FeatureAdminService/SetPlanFeature",
            Self::SetPlanLimit => "/entitlement.v1.FeatureAdminService/SetPlanLimit",
            Self::PreviewFeatureChange => "/entitlement.v1.FeatureAdminService/PreviewFeatureChange",
            Self::IssueLease => "/entitlement.v1.LeaseService/IssueLease",
            Self::ListModules => "/entitlement.v1.TenantAdminService/ListModules",
            Self::ListPlans => "/entitlement.v1.TenantAdminService/ListPlans",
            Self::UpsertModule => "/entitlement.v1.TenantAdminService/UpsertModule",
            Self::UpsertPlan => "/entitlement.v1.TenantAdminService/UpsertPlan",
            Self::GetTenant => "/entitlement.v1.TenantAdminService/GetTenant",
            Self::ListTenants => "/entitlement.v1.TenantAdminService/ListTenants",
            Self::CheckSubdomain => "/entitlement.v1.TenantAdminService/CheckSubdomain",
            Self::OnboardTenant => "/entitlement.v1.TenantAdminService/OnboardTenant",
            Self::RetryProvisioning => "/entitlement.v1.TenantAdminService/RetryProvisioning",
            Self::SetTenantStatus => "/entitlement.v1.TenantAdminService/SetTenantStatus",
            Self::EnableModules => "/entitlement.v1.TenantAdminService/EnableModules",
            Self::DisableModules => "/entitlement.v1.TenantAdminService/DisableModules",
            Self::ChangePlan => "/entitlement.v1.TenantAdminService/ChangePlan",
            Self::PreviewChange => "/entitlement.v1.TenantAdminService/PreviewChange",
            Self::DeleteTenant => "/entitlement.v1.TenantAdminService/DeleteTenant",
            Self::ListAuditEvents => "/entitlement.v1.TenantAdminService/ListAuditEvents",
            Self::ReserveUsage => "/entitlement.v1.UsageService/ReserveUsage",
            Self::ReleaseUsage => "/entitlement.v1.UsageService/ReleaseUsage",
            Self::ReconcileUsage => "/entitlement.v1.UsageService/ReconcileUsage",
            Self::AcquireUsageLease => "/entitlement.v1.UsageService/AcquireUsageLease",
            Self::SettleUsageLease => "/entitlement.v1.UsageService/SettleUsageLease",
            Self::RecordUsage => "/entitlement.v1.UsageService/RecordUsage",
            Self::QueryUsage => "/entitlement.v1.UsageService/QueryUsage",
            Self::Check => "/envoy.service.auth.v3.Authorization/Check",
        }
    }

    /// The method of a path; `None`: no service here has it.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/entitlement.replication.v1.ReplicationService/GetFacts" => Some(Self::GetFacts),
            "/entitlement.replication.v1.ReplicationService/GetCatalogue" => Some(Self::GetCatalogue),
            "/entitlement.replication.v1.ReplicationService/ListTenantKeys" => Some(Self::ListTenantKeys),
            "/entitlement.replication.v1.ReplicationService/FollowFacts" => Some(Self::FollowFacts),
            "/entitlement.v1.EntitlementService/ResolveTenant" => Some(Self::ResolveTenant),
            "/entitlement.v1.EntitlementService/CheckModule" => Some(Self::CheckModule),
            "/entitlement.v1.EntitlementService/BatchCheckModules" => Some(Self::BatchCheckModules),
            "/entitlement.v1.EntitlementService/ListEnabledModules" => Some(Self::ListEnabledModules),
            "/entitlement.v1.EntitlementService/CheckFeature" => Some(Self::CheckFeature),
            "/entitlement.v1.EntitlementService/BatchCheckFeatures" => Some(Self::BatchCheckFeatures),
            "/entitlement.v1.EntitlementService/CheckLimit" => Some(Self::CheckLimit),
            "/entitlement.v1.EntitlementService/Authorize" => Some(Self::Authorize),
            "/entitlement.v1.EntitlementService/ExplainModule" => Some(Self::ExplainModule),
            "/entitlement.v1.EntitlementService/ExplainFeature" => Some(Self::ExplainFeature),
            "/entitlement.v1.EntitlementService/ExplainLimit" => Some(Self::ExplainLimit),
            "/entitlement.v1.EntitlementService/ListTenantIds" => Some(Self::ListTenantIds),
            "/entitlement.v1.EntitlementService/WatchChanges" => Some(Self::WatchChanges),
            "/entitlement.v1.FeatureAdminService/ListFeatures" => Some(Self::ListFeatures),
            "/entitlement.v1.FeatureAdminService/ListLimits" => Some(Self::ListLimits),
            "/entitlement.v1.FeatureAdminService/UpsertFeature" => Some(Self::UpsertFeature),
            "/entitlement.v1.FeatureAdminService/UpsertLimit" => Some(Self::UpsertLimit),
            "/entitlement.v1.FeatureAdminService/SetTenantFlag" => Some(Self::SetTenantFlag),
            "/entitlement.v1.FeatureAdminService/DeleteTenantFlag" => Some(Self::DeleteTenantFlag),
            "/entitlement.v1.FeatureAdminService/SetLimitOverride" => Some(Self::SetLimitOverride),
            "/entitlement.v1.FeatureAdminService/EndLimitOverride" => Some(Self::EndLimitOverride),
            "/entitlement.v1.FeatureAdminService/EndKeptFeature" => Some(Self::EndKeptFeature),
            "/entitlement.v1.FeatureAdminService/EndKeptLimit" => Some(Self::EndKeptLimit),
            "/entitlement.v1.FeatureAdminService/SetTimeZone" => Some(Self::SetTimeZone),
            "/entitlement.v1.FeatureAdminService/SetPlanFeature" => Some(Self::SetPlanFeature),
            "/entitlement.v1.FeatureAdminService/SetPlanLimit" => Some(Self::SetPlanLimit),
            "/entitlement.v1.FeatureAdminService/PreviewFeatureChange" => Some(Self::PreviewFeatureChange),
            "/entitlement.v1.LeaseService/IssueLease" => Some(Self::IssueLease),
            "/entitlement.v1.TenantAdminService/ListModules" => Some(Self::ListModules),
            "/entitlement.v1.TenantAdminService/ListPlans" => Some(Self::ListPlans),
            "/entitlement.v1.TenantAdminService/UpsertModule" => Some(Self::UpsertModule),
            "/entitlement.v1.TenantAdminService/UpsertPlan" => Some(Self::UpsertPlan),
            "/entitlement.v1.TenantAdminService/GetTenant" => Some(Self::GetTenant),
            "/entitlement.v1.TenantAdminService/ListTenants" => Some(Self::ListTenants),
            "/entitlement.v1.TenantAdminService/CheckSubdomain" => Some(Self::CheckSubdomain),
            "/entitlement.v1.TenantAdminService/OnboardTenant" => Some(Self::OnboardTenant),
            "/entitlement.v1.TenantAdminService/RetryProvisioning" => Some(Self::RetryProvisioning),
            "/entitlement.v1.TenantAdminService/SetTenantStatus" => Some(Self::SetTenantStatus),
            "/entitlement.v1.TenantAdminService/EnableModules" => Some(Self::EnableModules),
            "/entitlement.v1.TenantAdminService/DisableModules" => Some(Self::DisableModules),
            "/entitlement.v1.TenantAdminService/ChangePlan" => Some(Self::ChangePlan),
            "/entitlement.v1.TenantAdminService/PreviewChange" => Some(Self::PreviewChange),
            "/entitlement.v1.TenantAdminService/DeleteTenant" => Some(Self::DeleteTenant),
            "/entitlement.v1.TenantAdminService/ListAuditEvents" => Some(Self::ListAuditEvents),
            "/entitlement.v1.UsageService/ReserveUsage" => Some(Self::ReserveUsage),
            "/entitlement.v1.UsageService/ReleaseUsage" => Some(Self::ReleaseUsage),
            "/entitlement.v1.UsageService/ReconcileUsage" => Some(Self::ReconcileUsage),
            "/entitlement.v1.UsageService/AcquireUsageLease" => Some(Self::AcquireUsageLease),
            "/entitlement.v1.UsageService/SettleUsageLease" => Some(Self::SettleUsageLease),
            "/entitlement.v1.UsageService/RecordUsage" => Some(Self::RecordUsage),
            "/entitlement.v1.UsageService/QueryUsage" => Some(Self::QueryUsage),
            "/envoy.service.auth.v3.Authorization/Check" => Some(Self::Check),
            _ => None,
        }
    }

    /// Is its request or its response a stream?
    pub fn streams(self) -> bool {
        matches!(self, Self::ListTenantKeys | Self::FollowFacts | Self::WatchChanges | Self::RecordUsage)
    }

    /// All of them, in the order of their numbers.
    pub const ALL: &'static [Self] = &[Self::GetFacts, Self::GetCatalogue, Self::ListTenantKeys, Self::FollowFacts, Self::ResolveTenant, Self::CheckModule, Self::BatchCheckModules, Self::ListEnabledModules, Self::CheckFeature, Self::BatchCheckFeatures, Self::CheckLimit, Self::Authorize, Self::ExplainModule, Self::ExplainFeature, Self::ExplainLimit, Self::ListTenantIds, Self::WatchChanges, Self::ListFeatures, Self::ListLimits, Self::UpsertFeature, Self::UpsertLimit, Self::SetTenantFlag, Self::DeleteTenantFlag, Self::SetLimitOverride, Self::EndLimitOverride, Self::EndKeptFeature, Self::EndKeptLimit, Self::SetTimeZone, Self::SetPlanFeature, Self::SetPlanLimit, Self::PreviewFeatureChange, Self::IssueLease, Self::ListModules, Self::ListPlans, Self::UpsertModule, Self::UpsertPlan, Self::GetTenant, Self::ListTenants, Self::CheckSubdomain, Self::OnboardTenant, Self::RetryProvisioning, Self::SetTenantStatus, Self::EnableModules, Self::DisableModules, Self::ChangePlan, Self::PreviewChange, Self::DeleteTenant, Self::ListAuditEvents, Self::ReserveUsage, Self::ReleaseUsage, Self::ReconcileUsage, Self::AcquireUsageLease, Self::SettleUsageLease, Self::RecordUsage, Self::QueryUsage, Self::Check];
}
