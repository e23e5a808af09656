//! `sample-site`: serves the sample shop.

use std::io::Write as _;

use crate::cli::CliError;
use crate::failure::Exit;
use crate::sample_site;

/// Options of `sample-site`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The port on 127.0.0.1; 0 takes a free one. The address is printed.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Prints the address, then serves until it is interrupted.
pub(super) async fn run(arguments: Arguments) -> Result<Exit, CliError> {
    let (address, site) = sample_site::serve(arguments.port).await.map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::AddrInUse { Exit::Conflict } else { Exit::Missing };
        CliError::new(exit, format!("port {} cannot be used: {error}", arguments.port))
            .with_help("leave `--port` out to take a free one")
    })?;
    let mut out = std::io::stdout();
    let _ = writeln!(out, "http://{address}/");
    let _ = out.flush();
    tokio::select! {
        ended = site => ended.map_err(|error| CliError::new(Exit::Failed, format!("the sample site stopped: {error}")))?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(Exit::Ok)
}
