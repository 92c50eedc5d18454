//! The database of valid paths: opening it, its tables, and writing to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::StoreError;
use super::lock::Lock;
use crate::exec::files::{self, FileError};
use crate::store::{PathInfo, StoreDir, StorePath};

/// Nix's tables, as Nix 2.8 and later make them, and so that Nix opens them as its own.
///
/// Facts from `src/libstore/schema.sql`; compared with a registry made by the real Nix in
/// `tests/it/nix_store.rs`.
const NIX_TABLES: &str = "
create table ValidPaths (
    id integer primary key autoincrement not null,
    path text unique not null,
    hash text not null,
    registrationTime integer not null,
    deriver text,
    narSize integer,
    ultimate integer,
    sigs text,
    ca text
);
create table Refs (
    referrer integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
create index IndexReferrer on Refs(referrer);
create index IndexReference on Refs(reference);
create trigger DeleteSelfRefs before delete on ValidPaths begin
    delete from Refs where referrer = old.id and reference = old.id;
end;
create table DerivationOutputs (
    drv integer not null,
    id text not null,
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
create index IndexDerivationOutputs on DerivationOutputs(path);
";

/// Tables of ours, which Nix does not look at; rows go when Nix removes the path they are about.
///
/// Recipes and their texts; which path a recipe gave, the latest with the highest number; paths that
/// may not be on the disk yet, with the boot in which they were written.
const OWN_TABLES: &str = "
create table NexusRecipes (
    recipe blob primary key not null,
    preimage text not null
) without rowid;
create table NexusRealisations (
    number integer primary key autoincrement not null,
    recipe blob unique not null,
    path integer not null references ValidPaths(id) on delete cascade
);
create index NexusRealisationsByPath on NexusRealisations(path);
create table NexusUnproven (
    path integer primary key not null references ValidPaths(id) on delete cascade,
    boot text not null
);
pragma user_version = 1;
";

/// The version of Nix's tables; the `schema` file beside the database says it.
const NIX_SCHEMA: u32 = 10;
/// The version of our tables, in the database's `user_version`, which Nix leaves alone.
const OWN_SCHEMA: u32 = 1;
/// How long a statement waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(60);

/// An open registry.
#[derive(Debug)]
pub(super) struct Registry {
    connection: Connection,
    pub(super) path: PathBuf,
    pub(super) dir: StoreDir,
}

impl Registry {
    /// Opens the registry in `directory`; makes it when there is none, with `lock` held.
    pub(super) fn open(directory: &Path, dir: StoreDir, lock: &Path) -> Result<Self, StoreError> {
        let path = directory.join("db.sqlite");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let failed = |source| StoreError::Registry { action: "open", path: path.clone(), source };
        let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        prepare(&connection).map_err(failed)?;
        let mut registry = Self { connection, path, dir };
        if registry.own_schema()? == 0 {
            let _lock = Lock::exclusive(lock)?;
            registry.create(directory)?;
        }
        registry.check_schema(directory)?;
        Ok(registry)
    }

    fn own_schema(&self) -> Result<u32, StoreError> {
        self.connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(self.failed("open"))
    }

    fn create(&mut self, directory: &Path) -> Result<(), StoreError> {
        // Another process may have been first while we waited for the lock.
        if self.own_schema()? != 0 {
            return Ok(());
        }
        let schema = directory.join("schema");
        // A registry that Nix made has Nix's tables already, and gets ours beside them.
        let made_by_nix = schema.exists();
        if made_by_nix {
            check_nix_schema(&schema)?;
        } else {
            self.connection
                .pragma_update(None, "journal_mode", "wal")
                .map_err(self.failed("create"))?;
        }
        self.change("create", |transaction| {
            let nix_tables = if made_by_nix { "" } else { NIX_TABLES };
            transaction.execute_batch(&format!("{nix_tables}{OWN_TABLES}"))
        })?;
        if !made_by_nix {
            files::write_atomic(&schema, NIX_SCHEMA.to_string().as_bytes())?;
        }
        Ok(())
    }

    fn check_schema(&self, directory: &Path) -> Result<(), StoreError> {
        let schema = directory.join("schema");
        if !schema.exists() {
            // Killed between the tables and this file.
            files::write_atomic(&schema, NIX_SCHEMA.to_string().as_bytes())?;
        }
        check_nix_schema(&schema)?;
        match self.own_schema()? {
            OWN_SCHEMA => Ok(()),
            found => Err(StoreError::Schema {
                path: self.path.clone(),
                found: found.to_string(),
                expected: OWN_SCHEMA,
            }),
        }
    }

    /// Runs `work` in one transaction: all of it is done, or nothing.
    pub(super) fn change<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let path = &self.path;
        let failed = |source| StoreError::Registry { action, path: path.clone(), source };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let outcome = work(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(outcome)
    }

    /// A statement that is compiled once.
    pub(super) fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        self.connection.prepare_cached(sql).map_err(self.failed("read"))
    }

    /// For `map_err`.
    pub(super) fn failed(
        &self,
        action: &'static str,
    ) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |source| StoreError::Registry { action, path: path.clone(), source }
    }

    /// Registers `infos`, all at once; what they refer to is valid already or among them.
    ///
    /// With `boot`, the paths are marked as not proven to be on the disk.
    pub(super) fn register(
        &mut self,
        infos: &[PathInfo],
        boot: Option<&str>,
    ) -> Result<(), StoreError> {
        let dir = self.dir.clone();
        self.change("add to", |transaction| {
            let mut add = transaction.prepare_cached(
                "insert into ValidPaths (path, hash, registrationTime, narSize, ca)
                 values (?1, 'sha256:' || ?2, unixepoch(), ?3, ?4)
                 on conflict (path) do nothing",
            )?;
            let mut mark = transaction.prepare_cached(
                "insert or replace into NexusUnproven (path, boot)
                 select id, ?2 from ValidPaths where path = ?1",
            )?;
            for info in infos {
                let path = dir.join(&info.path);
                let hash = info.nar_hash.to_string();
                let size = i64::try_from(info.nar_size).expect("no file system holds 2^63 bytes");
                add.execute(params![path, hash, size, info.content_address])?;
                if let Some(boot) = boot {
                    mark.execute(params![path, boot])?;
                }
            }
            let mut refer = transaction.prepare_cached(
                "insert or ignore into Refs (referrer, reference) values (
                 (select id from ValidPaths where path = ?1),
                 (select id from ValidPaths where path = ?2))",
            )?;
            for info in infos {
                for reference in &info.references {
                    refer.execute([dir.join(&info.path), dir.join(reference)])?;
                }
            }
            Ok(())
        })
    }

    /// Forgets `paths` and all that refers to them, directly or not; answers what was forgotten.
    pub(super) fn forget(
        &mut self,
        paths: &BTreeSet<StorePath>,
    ) -> Result<BTreeSet<StorePath>, StoreError> {
        let dir = self.dir.clone();
        let forgotten: Vec<String> = self.change("remove from", |transaction| {
            transaction.execute_batch(
                "create temporary table if not exists Gone (id integer primary key);
                 delete from Gone;",
            )?;
            let mut add = transaction
                .prepare("insert or ignore into Gone select id from ValidPaths where path = ?")?;
            for path in paths {
                add.execute([dir.join(path)])?;
            }
            transaction.execute_batch(
                "with recursive Referrers(id) as (
                     select id from Gone
                     union select referrer from Refs join Referrers on reference = id)
                 insert or ignore into Gone select id from Referrers;",
            )?;
            let mut list = transaction
                .prepare("select path from ValidPaths where id in (select id from Gone)")?;
            let list = list.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            transaction.execute_batch(
                "delete from Refs where referrer in (select id from Gone);
                 delete from ValidPaths where id in (select id from Gone);",
            )?;
            Ok(list)
        })?;
        forgotten.iter().map(|path| self.store_path(path)).collect()
    }

    /// Reads the full text of a path as the registry holds it.
    pub(super) fn store_path(&self, text: &str) -> Result<StorePath, StoreError> {
        text.strip_prefix(self.dir.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|base_name| StorePath::from_base_name(base_name).ok())
            .ok_or_else(|| self.bad_text("store path", text))
    }

    /// The error for text that cannot be there.
    pub(super) fn bad_text(&self, kind: &'static str, text: &str) -> StoreError {
        let text = text.chars().take(250).collect();
        StoreError::RegistryText { path: self.path.clone(), kind, text }
    }
}

/// What holds for one connection only.
///
/// A commit is atomic without waiting for the disk; a power cut may only undo the latest ones. The
/// log is brought into the database, with an fsync, once it has 1 MiB, and not whenever the last
/// process closes it: on a busy disk each of those took up to half a second (tried).
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(
        "pragma foreign_keys = on;
         pragma synchronous = normal;
         pragma wal_autocheckpoint = 256;",
    )
}

fn check_nix_schema(path: &Path) -> Result<(), StoreError> {
    let text = fs::read_to_string(path).map_err(FileError::at("read", path))?;
    if text.trim() == NIX_SCHEMA.to_string() {
        return Ok(());
    }
    let found = text.trim().chars().take(80).collect();
    Err(StoreError::Schema { path: path.to_owned(), found, expected: NIX_SCHEMA })
}

#[cfg(test)]
impl Registry {
    /// Lets the database grow no more, as on a full disk.
    pub(super) fn limit_pages(&self) {
        let sql = "pragma max_page_count = 1";
        self.connection.query_row(sql, [], |_| Ok(())).expect("the pragma answers a row");
    }
}
