//! A database of many tenants, and the questions about them.

use std::{sync::mpsc, thread, time::Duration};

use entitlementd::proto::v1::CheckModuleRequest;
use tokio::runtime::{Builder, Runtime};

use crate::{
    common::{
        self, MODULES, postgres,
        statements::{self, Statements},
    },
    load,
    proxy::Proxy,
    settings::Settings,
};

/// A database of many tenants.
pub struct World {
    pub settings: Settings,
    pub runtime: Runtime,
    pub statements: Statements,
    /// A question about each tenant that is held.
    pub bodies: Vec<Vec<u8>>,
    /// Of the database: for those who change it, and for the server.
    pub url: String,
    pub url_for_server: String,
    _cluster: postgres::Cluster,
}

impl World {
    pub fn make(settings: Settings) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let cluster = postgres::Cluster::start(&statements::SETTINGS);
        let name = runtime.block_on(cluster.migrated_database());
        let url = cluster.url(&name);
        runtime.block_on(common::fill_postgres(&url, settings.tenants + settings.cold_tenants()));
        let statements = runtime.block_on(Statements::start(&cluster));
        let port = if settings.delay.is_zero() {
            cluster.port()
        } else {
            distant(cluster.port(), settings.delay)
        };
        let url_for_server = statements::url(&cluster, &name)
            .replace(&format!(":{}/", cluster.port()), &format!(":{port}/"));
        let bodies = (0..settings.tenants).map(|tenant| load::body(&question(tenant))).collect();
        Self { settings, runtime, statements, bodies, url, url_for_server, _cluster: cluster }
    }
}

/// Runs a future on this thread.
pub fn on_its_own<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A port on which the database answers so much later. It ends with the process.
fn distant(port: u16, distance: Duration) -> u16 {
    let (told, answers) = mpsc::channel();
    thread::spawn(move || {
        on_its_own(async {
            let proxy = Proxy::slow_to(port, distance).await;
            told.send(proxy.port()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    answers.recv().unwrap()
}

/// The place in [`MODULES`] of the one that the load asks for. It stays as it is.
fn asked_for(tenant: u32) -> usize {
    tenant as usize % MODULES.len()
}

/// Of the one that is taken away and given back.
pub fn changing(tenant: u32) -> usize {
    asked_for(tenant + 1)
}

/// Of the one whose right ends.
pub fn ending(tenant: u32) -> usize {
    asked_for(tenant + 2)
}

pub fn question(tenant: u32) -> CheckModuleRequest {
    question_about(tenant, asked_for(tenant))
}

pub fn question_about(tenant: u32, module: usize) -> CheckModuleRequest {
    CheckModuleRequest {
        tenant_id: common::id(tenant),
        module_code: MODULES[module].to_owned(),
        ..Default::default()
    }
}
