//! The entitlementd program.

use std::process::ExitCode;

use entitlementd::cli;

// Each request allocates and frees dozens of small objects, which this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
