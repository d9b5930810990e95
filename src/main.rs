//! The `etched` binary.

#[cfg(planted)]
compile_error!("the product is never built with planted bugs");

/// The system's allocator took a fifth of the CPU of a put: it is slow for the kilobytes that each
/// request's task needs (docs/PERFORMANCE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    etched::cli::main()
}
