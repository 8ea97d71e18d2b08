//! `entitlementd serve --demo`: something to try, without a database of one's own.

use std::{error::Error, path::Path};

use tempfile::TempDir;

use crate::{
    clock::Clock,
    config::{ListenAddress, ServeArgs},
    server::database,
    store::Additions,
};

const BASE_DOMAIN: &str = "erp.example";
const TEST_COMPANY: &str = "00000000-0000-4000-8000-000000000001";
const LAPSED: &str = "00000000-0000-4000-8000-000000000002";

/// The demo's database, removed when the demo ends.
pub(crate) struct Demo {
    folder: TempDir,
}

/// Makes the demo's database, and points the settings at it.
pub(crate) async fn prepare(args: &mut ServeArgs) -> Result<Demo, Box<dyn Error>> {
    let folder = tempfile::Builder::new().prefix("entitlementd-demo").tempdir()?;
    args.database.database_url = Some(url(folder.path()).parse()?);
    args.instance.tenant.base_domain.push(BASE_DOMAIN.to_owned());
    let store = database::open_store(&args.database, &database::PATIENT).await?;
    store.migrate(Additions::default()).await?;
    store.insert_demo(Clock::System.now()).await?;
    store.close().await;
    Ok(Demo { folder })
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("demo.db").display())
}

impl Demo {
    /// Prints commands to paste.
    pub(crate) fn invite(&self, address: &ListenAddress) {
        let grpcurl = match address {
            ListenAddress::Tcp(address) => format!("{address} entitlement.v1.EntitlementService"),
            ListenAddress::Unix(socket) => {
                format!("-unix {} entitlement.v1.EntitlementService", socket.path.display())
            }
        };
        println!(
            "Two tenants are in the demo: testcompany, on the starter plan, and lapsed. Paste one of these:\n"
        );
        for (request, method) in [
            (
                format!(r#"{{"tenant_id": "{TEST_COMPANY}", "module_code": "finance"}}"#),
                "CheckModule",
            ),
            (format!(r#"{{"host": "testcompany.{BASE_DOMAIN}"}}"#), "ResolveTenant"),
            (r#"{"tenant": "lapsed", "module_code": "finance"}"#.to_owned(), "ExplainModule"),
        ] {
            println!("grpcurl -plaintext -d '{request}' {grpcurl}/{method}");
        }
        println!(
            "\nThe id of lapsed is {LAPSED}. Ctrl-C ends the demo and removes {}.",
            self.folder.path().display()
        );
    }
}
