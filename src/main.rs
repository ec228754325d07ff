//! The program `rewamp`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rewamp::cli::main()
}
