//! Questions to the registry, and what the [`Store`] answers by them.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, Row};

use super::registry::Registry;
use super::{Store, StoreError};
use crate::store::{PathInfo, StorePath};

const INFO: &str =
    "select id, path, hash, coalesce(narSize, 0), registrationTime, ca from ValidPaths";

/// A row of `ValidPaths`, texts not yet read.
struct InfoRow {
    id: i64,
    path: String,
    hash: String,
    nar_size: u64,
    registered_seconds: u64,
    content_address: Option<String>,
}

impl InfoRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            path: row.get(1)?,
            hash: row.get(2)?,
            nar_size: unsigned(row.get(3)?),
            registered_seconds: unsigned(row.get(4)?),
            content_address: row.get(5)?,
        })
    }
}

/// `SQLite` has only signed numbers; a negative one was not written by us, and is as good as none.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

impl Registry {
    /// What is known about `path`, when it is registered.
    pub(super) fn info(&self, path: &StorePath) -> Result<Option<PathInfo>, StoreError> {
        let row = self
            .statement(&format!("{INFO} where path = ?"))?
            .query_row([self.dir.join(path)], InfoRow::read)
            .optional()
            .map_err(self.failed("read"))?;
        row.map(|row| self.complete(row)).transpose()
    }

    /// All that is registered, by path.
    pub(super) fn all(&self) -> Result<Vec<PathInfo>, StoreError> {
        let mut statement = self.statement(&format!("{INFO} order by path"))?;
        let rows = statement.query_map([], InfoRow::read).map_err(self.failed("read"))?;
        rows.map(|row| self.complete(row.map_err(self.failed("read"))?)).collect()
    }

    fn complete(&self, row: InfoRow) -> Result<PathInfo, StoreError> {
        let hash = row.hash.strip_prefix("sha256:").and_then(|digits| digits.parse().ok());
        let sql = "select path from Refs join ValidPaths on id = reference where referrer = ?";
        Ok(PathInfo {
            path: self.store_path(&row.path)?,
            nar_hash: hash.ok_or_else(|| self.bad_text("SHA-256 digest", &row.hash))?,
            nar_size: row.nar_size,
            references: self.paths(sql, [row.id])?.into_iter().collect(),
            registered_seconds: row.registered_seconds,
            content_address: row.content_address,
        })
    }

    /// Whether `path` is registered.
    pub(super) fn is_registered(&self, path: &StorePath) -> Result<bool, StoreError> {
        self.statement("select 1 from ValidPaths where path = ?")?
            .exists([self.dir.join(path)])
            .map_err(self.failed("read"))
    }

    /// Direct references of `path`, without itself, in order.
    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, StoreError> {
        let sql = "select b.path from Refs
                   join ValidPaths a on a.id = referrer join ValidPaths b on b.id = reference
                   where a.path = ? and a.id <> b.id order by b.path";
        self.paths(sql, [self.dir.join(path)])
    }

    /// `paths` and all they need, references before referrers.
    fn closure(&self, paths: &[StorePath]) -> Result<Vec<StorePath>, StoreError> {
        let mut done = Vec::new();
        let mut seen = BTreeSet::new();
        // The top of the stack is worked on; `true` says that its references are done.
        let mut stack: Vec<(StorePath, bool)> =
            paths.iter().rev().map(|path| (path.clone(), false)).collect();
        while let Some((path, references_done)) = stack.pop() {
            if references_done {
                done.push(path);
                continue;
            }
            if !seen.insert(path.clone()) {
                continue;
            }
            if !self.is_registered(&path)? {
                return Err(StoreError::NotValid { path });
            }
            let references = self.references(&path)?;
            stack.push((path, true));
            stack.extend(references.into_iter().rev().map(|reference| (reference, false)));
        }
        Ok(done)
    }

    /// Paths that were written in another boot than `boot` and not known to be on the disk.
    pub(super) fn unproven_since(&self, boot: &str) -> Result<Vec<StorePath>, StoreError> {
        let sql = "select v.path from NexusUnproven u join ValidPaths v on v.id = u.path
                   where boot <> ? order by v.path";
        self.paths(sql, [boot])
    }

    /// All paths not known to be on the disk.
    pub(super) fn unproven(&self) -> Result<Vec<StorePath>, StoreError> {
        let sql = "select v.path from NexusUnproven u join ValidPaths v on v.id = u.path";
        self.paths(sql, [])
    }

    /// Notes that `paths` are on the disk.
    pub(super) fn mark_proven(&mut self, paths: &[StorePath]) -> Result<(), StoreError> {
        let dir = self.dir.clone();
        self.change("write to", |transaction| {
            let mut unmark = transaction.prepare_cached(
                "delete from NexusUnproven where path = (select id from ValidPaths where path = ?)",
            )?;
            paths.iter().try_for_each(|path| unmark.execute([dir.join(path)]).map(drop))
        })
    }

    /// What `SQLite` finds wrong with its own file; empty when all is well.
    pub(super) fn damage(&self) -> Result<Vec<String>, StoreError> {
        let failed = self.failed("check");
        let mut statement = self.statement("pragma quick_check")?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
        let mut lines = rows.collect::<Result<Vec<String>, _>>().map_err(&failed)?;
        lines.retain(|line| line != "ok");
        Ok(lines)
    }

    /// References to paths that are not registered: who refers, and the number referred to.
    pub(super) fn dangling(&self) -> Result<Vec<StorePath>, StoreError> {
        let sql = "select distinct path from Refs join ValidPaths on id = referrer
                   where reference not in (select id from ValidPaths) order by path";
        self.paths(sql, [])
    }

    fn paths(&self, sql: &str, with: impl rusqlite::Params) -> Result<Vec<StorePath>, StoreError> {
        let mut statement = self.statement(sql)?;
        let failed = self.failed("read");
        let rows = statement.query_map(with, |row| row.get::<_, String>(0)).map_err(&failed)?;
        rows.map(|text| self.store_path(&text.map_err(&failed)?)).collect()
    }
}

impl Store {
    /// Whether `path` is registered and its directory entry is there.
    ///
    /// That the contents are still what they were is for [`Store::verify`] to say.
    pub fn is_valid(&self, path: &StorePath) -> Result<bool, StoreError> {
        Ok(self.is_present(path) && self.registry().is_registered(path)?)
    }

    /// What is known about `path`; `None` when it is not valid.
    pub fn info(&self, path: &StorePath) -> Result<Option<PathInfo>, StoreError> {
        if self.is_present(path) { self.registry().info(path) } else { Ok(None) }
    }

    /// `paths` and everything they refer to, references before referrers.
    ///
    /// The order depends on nothing but `paths` and the references.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotValid`] when one of `paths` is not registered.
    pub fn closure(&self, paths: &[StorePath]) -> Result<Vec<StorePath>, StoreError> {
        self.registry().closure(paths)
    }
}
