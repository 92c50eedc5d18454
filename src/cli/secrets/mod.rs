//! `secrets`: keep the secrets of hosts in encrypted files.

mod add_host;
pub(super) mod arguments;
mod check;
mod edit;
mod host;
mod rekey;
mod renew;
mod values;

use super::report::Failure;
use super::session::Session;
use crate::secrets::install::keep_out_of_dumps;

use arguments::{Secrets, SecretsVerb};
pub(super) use host::recipient_of;

pub(super) fn run(session: &Session<'_>, arguments: &Secrets) -> Result<(), Failure> {
    if !matches!(arguments.verb, SecretsVerb::Edit(_)) {
        // `edit` does it later: what is not dumpable cannot have a namespace of its own.
        keep_out_of_dumps();
    }
    match &arguments.verb {
        SecretsVerb::List(list) => values::list(session, list),
        SecretsVerb::Get(get) => values::get(session, get),
        SecretsVerb::Set(set) => values::set(session, set),
        SecretsVerb::Edit(arguments) => edit::run(session, arguments),
        SecretsVerb::Generate(arguments) => renew::generate(session, arguments),
        SecretsVerb::Rotate(arguments) => renew::rotate(session, arguments),
        SecretsVerb::Rekey(arguments) => rekey::run(session, arguments),
        SecretsVerb::AddHost(arguments) => add_host::run(session, arguments),
        SecretsVerb::Check(arguments) => check::run(session, arguments),
    }
}
