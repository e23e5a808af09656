//! `status`: the dashboard of the running host.

use super::{CliError, Context, width};
use crate::failure::Exit;
use crate::render;

pub(super) async fn command(context: &Context) -> Result<Exit, CliError> {
    let status = context.client()?.status().await?;
    context.print(&status, || render::status::status(&status, width()))?;
    Ok(Exit::Ok)
}
