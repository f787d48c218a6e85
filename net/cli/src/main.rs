//! The `tandem` program.

use std::process::ExitCode;

/// Rows, routes and simulated worlds are many small allocations: it takes a tenth of the time off a simulated run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tandem::cli::main()
}
