//! The entitlementd program.

use std::process::ExitCode;

use entitlementd::cli;

// Each request makes and drops dozens of small objects: an allocator that is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
