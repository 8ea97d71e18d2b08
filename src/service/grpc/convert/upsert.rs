//! The messages of UpsertModule and UpsertPlan.

use tonic::Status;

use super::{
    admin::{module, plan},
    requests::Fields,
};
use crate::{
    domain::{
        ModuleCode, ModuleOffer, ModuleUpsert, Money, PlanOffer, PlanUpsert,
        limits::{
            MAX_DESCRIPTION_CHARS, MAX_MUTATED_MODULES, MAX_OFFER_NAME_CHARS, MAX_ROUTE_CHARS,
            MAX_WORD_CHARS,
        },
    },
    proto::v1::{
        CodeList, UpsertModuleRequest, UpsertModuleResponse, UpsertPlanRequest, UpsertPlanResponse,
    },
    service::admin::UpsertQuery,
};

pub(in crate::service) fn module_upsert_query(
    request: UpsertModuleRequest,
) -> Result<UpsertQuery<ModuleUpsert>, Status> {
    let mut fields = Fields::default();
    fields.code("code", &request.code);
    if !request.new_code.is_empty() {
        fields.code("new_code", &request.new_code);
    }
    fields.credentials("name", request.name.as_deref(), MAX_OFFER_NAME_CHARS);
    fields.at_most(
        "description",
        request.description.as_deref().unwrap_or_default(),
        MAX_DESCRIPTION_CHARS,
    );
    fields.at_most("category", request.category.as_deref().unwrap_or_default(), MAX_WORD_CHARS);
    let routes = request.frontend_routes.map(|list| list.routes);
    for (number, route) in routes.iter().flatten().enumerate() {
        fields.at_most(&format!("frontend_routes.routes[{number}]"), route, MAX_ROUTE_CHARS);
    }
    fields.at_most_so_many("frontend_routes.routes", routes.as_ref().map_or(0, Vec::len));
    let sections = request.sections.map(|list| list.sections);
    fields.at_most_so_many("sections.sections", sections.as_ref().map_or(0, Vec::len));
    let upsert = ModuleUpsert {
        new_code: (!request.new_code.is_empty()).then(|| ModuleCode::new(&request.new_code)),
        code: request.code,
        name: request.name,
        description: request.description,
        category: request.category,
        display_order: request.display_order,
        is_base_module: request.is_base_module,
        on_sale: request.on_sale,
        dependencies: fields.code_list("dependencies.codes", request.dependencies),
        price_monthly: fields.price("price_monthly", &request.price_monthly),
        price_yearly: fields.price("price_yearly", &request.price_yearly),
        sections,
        frontend_routes: routes,
    };
    let purpose = fields.purpose(&request.reason, &request.request_id);
    fields.all_good(Some(UpsertQuery { upsert, purpose }))
}

pub(in crate::service) fn plan_upsert_query(
    request: UpsertPlanRequest,
) -> Result<UpsertQuery<PlanUpsert>, Status> {
    let mut fields = Fields::default();
    fields.code("slug", &request.slug);
    fields.credentials("name", request.name.as_deref(), MAX_OFFER_NAME_CHARS);
    let upsert = PlanUpsert {
        slug: request.slug,
        name: request.name,
        on_sale: request.on_sale,
        price: fields.price("price", &request.price),
        billing_cycle: fields.billing_cycle(request.billing_cycle),
        modules: fields.code_list("modules.codes", request.modules),
        max_users: fields.limit("max_users", request.max_users),
        max_transactions_monthly: fields
            .limit("max_transactions_monthly", request.max_transactions_monthly),
        existing_tenants: fields.existing_tenants(request.existing_tenants),
    };
    let purpose = fields.purpose(&request.reason, &request.request_id);
    fields.all_good(Some(UpsertQuery { upsert, purpose }))
}

impl Fields {
    fn code(&mut self, field: &str, code: &str) {
        if let Err(error) = ModuleCode::validate(code) {
            self.violated(field, error.to_string());
        }
    }

    fn credentials(&mut self, field: &str, text: Option<&str>, most: usize) {
        if text.is_some_and(|text| text.trim().is_empty()) {
            self.violated(field, "must not be blank");
        }
        self.at_most(field, text.unwrap_or_default(), most);
    }

    pub(super) fn at_most(&mut self, field: &str, text: &str, most: usize) {
        if text.chars().count() > most || text.contains(char::is_control) {
            self.violated(
                field,
                format!("must be at most {most} characters, none of them a control character"),
            );
        }
    }

    fn at_most_so_many(&mut self, field: &str, count: usize) {
        if count > MAX_MUTATED_MODULES {
            self.violated(field, format!("must hold at most {MAX_MUTATED_MODULES}, not {count}"));
        }
    }

    fn code_list(&mut self, field: &str, list: Option<CodeList>) -> Option<Vec<ModuleCode>> {
        let codes = list?.codes;
        self.at_most_so_many(field, codes.len());
        self.codes(field, &codes);
        Some(codes.iter().map(|code| ModuleCode::new(code)).collect())
    }

    fn price(&mut self, field: &str, text: &str) -> Option<Money> {
        if text.is_empty() {
            return None;
        }
        let price = Money::parse(text).filter(|price| price.is_price());
        if price.is_none() {
            self.violated(
                field,
                "must be an amount from 0 to 99999999.99, with at most two decimals: \"9999.00\"",
            );
        }
        price
    }

    fn limit(&mut self, field: &str, limit: Option<i32>) -> Option<i32> {
        if limit.is_some_and(|limit| limit < 0) {
            self.violated(field, "must not be negative");
        }
        limit
    }
}

pub(in crate::service) fn module_upsert_response(offer: ModuleOffer) -> UpsertModuleResponse {
    UpsertModuleResponse { module: Some(module(offer)) }
}

pub(in crate::service) fn plan_upsert_response(offer: PlanOffer) -> UpsertPlanResponse {
    UpsertPlanResponse { plan: Some(plan(offer)) }
}
