//! Tests of advice: it is found however deep the fact lies, and only where there is one.

use std::io;
use std::path::{Path, PathBuf};

use super::{DISK_FULL, NETWORK, OTHER_PACKAGE, SIGNATURE, WRONG_FILE, advice, chain};
use crate::debian::signature::SignatureError;
use crate::exec::configure::ConfigureError;
use crate::exec::engine::{EngineError, StepError};
use crate::exec::fetch::{ArchiveError, ArchiveFault, FetchError, TransferError, TransferFailure};
use crate::exec::files::FileError;
use crate::exec::interrupt::Interrupted;
use crate::exec::locking::LockingError;
use crate::exec::sandbox::{Obstacle, SandboxError};

fn step(source: StepError) -> LockingError {
    let name = "x".to_owned();
    LockingError::Engine(EngineError::Step { verb: "make", name, source: Box::new(source) })
}

fn file(kind: io::ErrorKind) -> FileError {
    FileError::at("write", Path::new("/x"))(kind.into())
}

fn transfer(source: TransferError) -> LockingError {
    let url = "http://a/x".parse().unwrap();
    let failure = TransferFailure { label: "x".into(), url, others: Vec::new(), source };
    LockingError::Engine(FetchError::Transfer(Box::new(failure)).into())
}

#[test]
fn a_full_disk_is_seen_in_files_and_in_what_scripts_say() {
    let full = file(io::ErrorKind::StorageFull);
    assert_eq!(advice(&step(StepError::File(full))).as_deref(), Some(DISK_FULL));
    let log = PathBuf::from("/log");
    let output = "cp: cannot create 'x': No space left on device".to_owned();
    let script = ConfigureError::Dpkg { output, log: log.clone() };
    assert_eq!(advice(&step(script.into())).as_deref(), Some(DISK_FULL));
    let other = ConfigureError::Dpkg { output: "no such user".into(), log };
    assert_eq!(advice(&step(other.into())), None);
    assert_eq!(advice(&step(StepError::File(file(io::ErrorKind::NotFound)))), None);
}

#[test]
fn what_forbids_namespaces_is_said_with_the_remedy() {
    for obstacle in [Obstacle::Limit, Obstacle::AppArmor, Obstacle::Refused { errno: 1 }] {
        let error = ConfigureError::Sandbox(SandboxError::Forbidden { obstacle });
        assert_eq!(advice(&step(error.into())).as_deref(), Some(obstacle.help()));
        let bare = StepError::Sandbox(SandboxError::Forbidden { obstacle });
        assert_eq!(advice(&step(bare)).as_deref(), Some(obstacle.help()));
    }
}

#[test]
fn wrong_files_and_no_network_are_told_apart() {
    let length = TransferError::WrongSize { expected_bytes: 1, found_bytes: None };
    assert_eq!(advice(&transfer(length)).as_deref(), Some(WRONG_FILE));
    let refused = TransferError::Refused { host: "a".into() };
    assert_eq!(advice(&transfer(refused)).as_deref(), Some(NETWORK));
    assert_eq!(advice(&transfer(TransferError::NotFound { status: 404 })), None);
    let fault = ArchiveFault::Signature(SignatureError::NotSigned);
    let error = LockingError::Archive(ArchiveError { source_name: "x".into(), fault });
    assert_eq!(advice(&error).as_deref(), Some(SIGNATURE));
    let error = StepError::OtherPackage { expected: "a".into(), found: "b".into() };
    assert_eq!(advice(&step(error)).as_deref(), Some(OTHER_PACKAGE));
}

#[test]
fn an_interrupt_is_found_behind_transparent_errors() {
    let errors: [LockingError; 3] = [
        LockingError::Engine(EngineError::Interrupted(Interrupted)),
        LockingError::Engine(FetchError::Interrupted(Interrupted).into()),
        step(ConfigureError::Sandbox(SandboxError::Interrupted(Interrupted)).into()),
    ];
    for error in errors {
        let last = chain(&error).last().unwrap();
        assert!(last.is::<Interrupted>(), "{error:?}");
    }
}
