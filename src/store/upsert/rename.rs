//! A module gets another code.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QuerySelect,
    prelude::{Json, Uuid},
};

use crate::{
    domain::{Author, ModuleOffer},
    store::{
        StoreError,
        ask::Ask,
        entity::{feature_flags, modules, plans},
        transaction::Transaction,
    },
};

/// Keeps the old code as an alias, and writes the new one wherever the old one is written.
pub(super) async fn rename(
    txn: &Transaction,
    before: &ModuleOffer,
    after: &ModuleOffer,
    author: &Author,
) -> Result<(), StoreError> {
    let (old, new) = (before.module.code.as_str(), after.module.code.as_str());
    let sql = "INSERT INTO entitlement_module_aliases (alias, module_id) SELECT $1, id FROM modules WHERE code = $2";
    let values = [old.into(), new.into()];
    txn.execute_with(sql, values).await?;

    let select = modules::Entity::find().select_only().column(modules::Column::Id);
    let rows = txn.select(select.column(modules::Column::Dependencies)).await?;
    for (id, list) in lists_with(&rows, "dependencies", old, new)? {
        let row = modules::ActiveModel {
            dependencies: Set(Some(list)),
            updated_at: Set(author.at),
            ..Default::default()
        };
        modules::Entity::update_many()
            .set(row)
            .filter(modules::Column::Id.eq(id))
            .exec(&txn.inner)
            .await?;
    }
    let select = plans::Entity::find().select_only().column(plans::Column::Id);
    let rows = txn.select(select.column(plans::Column::IncludedModules)).await?;
    for (id, list) in lists_with(&rows, "included_modules", old, new)? {
        let row = plans::ActiveModel {
            included_modules: Set(Some(list)),
            updated_at: Set(author.at),
            ..Default::default()
        };
        plans::Entity::update_many()
            .set(row)
            .filter(plans::Column::Id.eq(id))
            .exec(&txn.inner)
            .await?;
    }
    let row = feature_flags::ActiveModel { module_code: Set(new.to_owned()), ..Default::default() };
    let flags = feature_flags::Entity::update_many()
        .set(row)
        .filter(feature_flags::Column::ModuleCode.eq(old));
    flags.exec(&txn.inner).await?;
    Ok(())
}

/// The rows whose list holds the old code, each with the list as it is to be. What else is in it
/// stays.
fn lists_with(
    rows: &[sea_orm::QueryResult],
    column: &str,
    old: &str,
    new: &str,
) -> Result<Vec<(Uuid, Json)>, StoreError> {
    let mut lists = Vec::new();
    for row in rows {
        // One that cannot be read names no code.
        let Ok(Some(Json::Array(mut items))) = row.try_get::<Option<Json>>("", column) else {
            continue;
        };
        if items.iter().any(|item| item == old) {
            items.iter_mut().filter(|item| **item == old).for_each(|item| *item = new.into());
            lists.push((row.try_get("", "id")?, items.into()));
        }
    }
    Ok(lists)
}
