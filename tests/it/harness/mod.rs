//! Starts the real server on port 0, on a fresh database, and hands out a connected client.

pub mod commits;
pub mod data;
pub mod database;
pub mod dice;
pub mod fake;
pub mod faults;
pub mod history;
pub mod http;
pub mod keeper;
pub mod logged;
pub mod mesh;
pub mod pki;
pub mod pooler;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod raw;
pub mod server;
mod standby;
pub mod token;
pub mod wire;

pub use data::{Row, id, instant};
pub use database::Database;
pub use keeper::{program, until, until_so};
pub use server::{NOW, Server, field_violations, reason_of};

/// Writes a test twice: on SQLite and on PostgreSQL. The server's clock stands at [`NOW`].
#[macro_export]
macro_rules! on_both {
    ($(async fn $name:ident($server:ident: Server) $body:block)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                holds(Server::start(Database::sqlite().await).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                holds(Server::start(Database::postgres().await).await).await;
            }

            #[allow(unused_mut, clippy::allow_attributes, reason = "a test may or may not call through the server")]
            async fn holds(mut $server: Server) $body
        }
    )*};
}
