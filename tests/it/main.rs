//! The integration tests: one binary, the real server, real databases, a real client.

mod harness;

mod adoption;
mod cache;
mod check;
mod cold;
mod decision;
mod explain;
mod floors;
mod hostile;
mod limits;
mod list;
mod migration;
mod outage;
mod process;
mod readme;
mod resolve;
mod tokens;
