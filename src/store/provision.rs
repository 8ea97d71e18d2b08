//! A tenant's schema: created, and filled from the operator's template. PostgreSQL only.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult};

use super::{
    Mutated, MutationError, Store, StoreError, TenantKey,
    ask::Ask,
    entitlements::{Found, kept},
    mutate::Request,
    ownership::{self, RECORD as APPLIED},
    record, request_json,
    transaction::Transaction,
};
use crate::domain::{
    Author, ModuleCode, Mutation, TemplateFile, TenantStatus, TenantTemplate, template::AppliedFile,
};

/// How long a statement of a template may take, whatever the limit for other statements.
pub(super) const STATEMENT_TIMEOUT: &str = "60s";

/// The result of provisioning a tenant.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// The change of the tenant.
    pub mutated: Mutated,
    /// Its schema; `None` on SQLite, which has none.
    pub schema: Option<String>,
    /// The files that were applied, in the order of application.
    pub files: Vec<String>,
}

impl Provisioned {
    /// Was there anything to do?
    pub fn has_changed(&self) -> bool {
        !self.files.is_empty() || self.mutated.before != self.mutated.after
    }
}

impl Store {
    /// Fills the schemas of tenants from this template.
    #[must_use]
    pub fn with_template(self, template: Option<TenantTemplate>) -> Self {
        self.set_template(template);
        self
    }

    /// Does so from now on. Is it another one than until now?
    pub fn set_template(&self, template: Option<TenantTemplate>) -> bool {
        let mut present = self.template.write();
        let is_another = present.as_deref() != template.as_ref();
        *present = template.map(Arc::new);
        is_another
    }

    pub(super) fn template(&self) -> Option<Arc<TenantTemplate>> {
        self.template.read().clone()
    }

    /// Creates a tenant's schema, applies the template files that it lacks, and lets a tenant that
    /// waited for it be served: all of it or nothing. If that fails, a tenant that waited is marked
    /// as failed, with the cause in the record. Repeating it resumes the setup.
    pub async fn provision(
        &self,
        key: &TenantKey,
        author: &Author,
    ) -> Result<Provisioned, MutationError> {
        let failed = match self.try_provision(key, author).await {
            Err(error @ (MutationError::Template { .. } | MutationError::Refused(_))) => error,
            other => return other,
        };
        if let Err(error) = self.fail_setup(key, author, &failed).await {
            tracing::warn!(%error, "the failure of a tenant's setup could not be recorded: {error}");
        }
        Err(failed)
    }

    async fn try_provision(
        &self,
        key: &TenantKey,
        author: &Author,
    ) -> Result<Provisioned, MutationError> {
        let mut request = request_json::request_of(&Mutation::FinishSetup, author);
        request["tenant"] = request_json::key_to_json(key);
        let txn = match self.begin(author, request_json::PROVISION, &request).await? {
            Request::New(txn) => txn,
            Request::Replayed(event) => {
                let mutated = self.answer_again(&event).await?;
                let files = event.applied_files().into_iter().map(str::to_owned).collect();
                return Ok(Provisioned {
                    mutated,
                    schema: self.schema_of(key, author.at).await?,
                    files,
                });
            }
        };
        let (done, locked) = self.apply(&txn, key, &Mutation::FinishSetup, author.at).await?;
        let (schema, files) = if txn.dialect().has_schemas() {
            let schema = self.make_schema(&txn, &locked).await?;
            let files = self.apply_template(&txn, &schema, &done.held).await?;
            (Some(schema), files)
        } else {
            (None, Vec::new())
        };
        let is_idle = done.before == done.after && files.is_empty();
        if !is_idle {
            record::add(&txn, done.entry(author, request_json::PROVISION, request, &files)).await?;
        }
        txn.commit().await?;
        Ok(Provisioned { mutated: self.mutated(done, author.at).await?, schema, files })
    }

    /// The schema of a tenant; `None` on SQLite.
    pub(super) async fn schema_of(
        &self,
        key: &TenantKey,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, StoreError> {
        let evidence = self.read(key, now).await?.evidence;
        let schema = evidence.map(|evidence| kept(&evidence.facts.tenant.database_schema));
        Ok(schema.filter(|_| self.primary.dialect().has_schemas()))
    }

    async fn fail_setup(
        &self,
        key: &TenantKey,
        author: &Author,
        failed: &MutationError,
    ) -> Result<(), MutationError> {
        let txn = self.writing.begin_writing().await?;
        let (done, _) = self.apply(&txn, key, &Mutation::FailSetup, author.at).await?;
        if done.before == done.after && done.before.status != TenantStatus::Failed.word() {
            return Ok(txn.roll_back().await?);
        }
        let mut request = request_json::request_of(&Mutation::FailSetup, author);
        request["error"] = failed.to_string().into();
        // The request was not done: its id stays free for the attempt that succeeds.
        let author = Author { request_id: None, ..author.clone() };
        let action = request_json::action_of(&Mutation::FailSetup);
        record::add(&txn, done.entry(&author, action, request, &[])).await?;
        Ok(txn.commit().await?)
    }

    /// Applies the template files that a tenant lacks after its modules have changed. A schema that
    /// was not made from the template is left alone.
    pub(super) async fn apply_template_to(
        &self,
        txn: &Transaction,
        locked: &Found,
        modules: &[ModuleCode],
    ) -> Result<Vec<String>, MutationError> {
        if self.template().is_none() || !txn.dialect().has_schemas() {
            return Ok(Vec::new());
        }
        let schema = locked.schema();
        if !has_record(txn, &schema).await? {
            return Ok(Vec::new());
        }
        self.apply_template(txn, &schema, modules).await
    }

    /// Creates the schema with its table of files, and returns its name.
    async fn make_schema(
        &self,
        txn: &Transaction,
        locked: &Found,
    ) -> Result<String, MutationError> {
        ownership::may_be_filled(txn, locked)
            .await?
            .map_err(|violation| MutationError::Refused(vec![violation]))?;
        let schema = locked.schema();
        let name = quoted(&schema);
        let sql = format!(
            "CREATE SCHEMA IF NOT EXISTS {name};
             CREATE TABLE IF NOT EXISTS {name}.{APPLIED} (
                name text PRIMARY KEY,
                sha256 text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
             );
             COMMENT ON TABLE {name}.{APPLIED} IS '{}'",
            ownership::comment(locked)
        );
        txn.execute(&sql).await?;
        Ok(schema)
    }

    /// Applies the files that the schema lacks.
    async fn apply_template(
        &self,
        txn: &Transaction,
        schema: &str,
        modules: &[ModuleCode],
    ) -> Result<Vec<String>, MutationError> {
        let Some(template) = self.template() else { return Ok(Vec::new()) };
        let applied = applied(txn, schema).await?;
        let mut files = template.files_for(modules);
        files.retain(|file| !applied.iter().any(|one| one.name == file.name));
        for file in &files {
            apply_file(txn, schema, file).await?;
        }
        if !files.is_empty() {
            txn.execute("SET LOCAL search_path = public").await?;
        }
        Ok(files.into_iter().map(|file| file.name.clone()).collect())
    }
}

async fn apply_file(
    txn: &Transaction,
    schema: &str,
    file: &TemplateFile,
) -> Result<(), MutationError> {
    let name = quoted(schema);
    let failed = |cause: String| MutationError::Template { file: file.name.clone(), cause };
    let before = transaction_number(txn).await?;
    // Only the tenant's own schema: a file that omits the schema's name must not write to `public`.
    let schema_alone = format!("SET LOCAL search_path = {name}");
    let timeout = format!("SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'");
    txn.execute(&format!("{schema_alone}; {timeout}")).await?;
    txn.execute_foreign(&file.sql).await.map_err(|error| failed(error.to_string()))?;
    // The file may have set another one, for itself.
    txn.execute(&timeout).await?;
    if transaction_number(txn).await? != before {
        return Err(failed("it ends the transaction; leave BEGIN, COMMIT and ROLLBACK out".into()));
    }
    let sql = format!("INSERT INTO {name}.{APPLIED} (name, sha256) VALUES ($1, $2)");
    let values = [file.name.as_str().into(), file.sha256.as_str().into()];
    Ok(txn.execute_with(sql, values).await?)
}

async fn transaction_number(txn: &impl Ask) -> Result<String, StoreError> {
    let sql = "SELECT pg_current_xact_id()::text AS number";
    let rows = txn.sql(sql, []).await?;
    Ok(rows.first().map(|row| row.try_get("", "number")).transpose()?.unwrap_or_default())
}

pub(super) async fn has_record(database: &impl Ask, schema: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2";
    let values = [schema.into(), APPLIED.into()];
    Ok(!database.sql(sql, values).await?.is_empty())
}

pub(super) async fn applied(
    database: &impl Ask,
    schema: &str,
) -> Result<Vec<AppliedFile>, StoreError> {
    let sql =
        format!("SELECT name, sha256 FROM {}.{APPLIED} ORDER BY applied_at, name", quoted(schema));
    let rows = database.sql(sql, []).await?;
    let file = |row: &QueryResult| {
        Ok::<_, DbErr>(AppliedFile {
            name: row.try_get("", "name")?,
            sha256: row.try_get("", "sha256")?,
        })
    };
    Ok(rows.iter().map(file).collect::<Result<_, _>>()?)
}

/// A name quoted for SQL, whatever characters it contains.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
