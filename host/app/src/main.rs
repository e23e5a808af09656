//! The `buddy-host` program: everything is in the library, so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    buddy_host::cli::main(std::env::args_os()).into()
}
