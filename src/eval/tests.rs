//! Evaluation from texts to systems.

use expect_test::{Expect, expect};

use super::*;
use crate::diag::{Look, Source, render};
use crate::spec::{ModuleFiles, UserModules};

mod backups;
mod hostile;
mod hosts;
mod modules;
mod options;
mod secrets;
mod support;
