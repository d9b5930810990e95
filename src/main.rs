//! The `etched` binary.

#[cfg(planted)]
compile_error!("the product is never built with planted bugs");

fn main() -> std::process::ExitCode {
    etched::cli::main()
}
