//! The operator's tenant template, read from a folder.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::background::reload::Reloads;
use crate::{
    config::UnusableSetting,
    domain::{ModuleCode, TemplateFile, TenantTemplate},
    security::hashes,
    store::Store,
};

/// The folder with the files for every tenant.
const BASE: &str = "_base";

/// Reads the template, if there is one. Everything in it must be readable: half a template would
/// make half a tenant.
pub(crate) fn load(folder: Option<&Path>) -> Result<Option<TenantTemplate>, UnusableSetting> {
    let Some(folder) = folder else { return Ok(None) };
    let unusable = |problem: String| UnusableSetting::new("--tenant-template", problem);
    read(folder)
        .map(Some)
        .map_err(|(path, problem)| unusable(format!("names {}, {problem}", path.display())))
}

/// Reads it again when that is asked for, and only then: half of it would make half a tenant.
pub(super) async fn follow(folder: PathBuf, mut reloads: Reloads, store: Arc<Store>) -> Infallible {
    let setting = "--tenant-template";
    loop {
        reloads.next().await;
        match load(Some(&folder)) {
            Ok(template) => {
                if store.set_template(template) {
                    tracing::info!(setting, "{setting} has changed, and is in effect from now on");
                }
            }
            Err(problem) => tracing::error!("{problem}; the previous contents stay in effect"),
        }
    }
}

type TemplateProblem = (PathBuf, String);

fn read(folder: &Path) -> Result<TenantTemplate, TemplateProblem> {
    let mut base = None;
    let mut modules = BTreeMap::new();
    for path in entries(folder)? {
        let name = name_of(&path)?;
        if !path.is_dir() {
            // A README may be here; SQL files would be overlooked.
            if has_sql(&path) {
                return Err((
                    path,
                    format!(
                        "which lies beside the folders: move it to {BASE}, or to a module's folder"
                    ),
                ));
            }
        } else if name == BASE {
            base = Some(files(&path, &name)?);
        } else {
            let code = ModuleCode::validate(&name)
                .map_err(|error| (path.clone(), format!("which is no module: {error}")))?;
            modules.insert(ModuleCode::new(code), files(&path, &name)?);
        }
    }
    let base = base.ok_or_else(|| (folder.join(BASE), "which is not there".to_owned()))?;
    Ok(TenantTemplate { base, modules })
}

fn files(folder: &Path, folder_name: &str) -> Result<Vec<TemplateFile>, TemplateProblem> {
    let mut files = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| has_sql(path)) {
        let name = format!("{folder_name}/{}", name_of(&path)?);
        let sql = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        files.push(TemplateFile { name, sha256: hex::encode(hashes::hash(&sql)), sql });
    }
    Ok(files)
}

/// The contents of a folder, ordered by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, TemplateProblem> {
    let read =
        || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut entries = read().map_err(|error| unreadable(folder, &error))?;
    entries.sort_unstable();
    Ok(entries)
}

fn has_sql(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "sql")
}

fn name_of(path: &Path) -> Result<String, TemplateProblem> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| (path.to_owned(), "which is not UTF-8".to_owned()))
}

fn unreadable(path: &Path, error: &io::Error) -> TemplateProblem {
    (path.to_owned(), format!("which cannot be read: {error}"))
}
