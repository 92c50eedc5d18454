//! `man`: the manual page, made from the same definition as the help texts.

use clap::CommandFactory as _;

use super::arguments::Arguments;
use super::exit;
use super::report::Failure;
use super::session::Session;

pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| Failure::with_code(exit::BUG, error))?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let mut body = Vec::new();
        clap_mangen::Man::new(verb.clone())
            .render_description_section(&mut body)
            .map_err(|error| Failure::with_code(exit::BUG, error))?;
        let heading = format!(".SH \"{}\"\n", verb.get_name().to_uppercase());
        page.extend_from_slice(heading.as_bytes());
        let text = String::from_utf8_lossy(&body).into_owned();
        page.extend_from_slice(text.replace(".SH DESCRIPTION\n", "").as_bytes());
    }
    session.ui.result(String::from_utf8_lossy(&page).trim_end());
    Ok(())
}
