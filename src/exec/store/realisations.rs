//! Which path a recipe gave, and what the recipe was.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError};
use crate::store::{Sha256Digest, StorePath};

/// A recipe that has been carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realisation {
    /// The digest of `preimage`.
    pub recipe: Sha256Digest,
    /// The recipe as text: all that the result depends on.
    pub preimage: String,
    /// The result.
    pub path: StorePath,
}

impl Store {
    /// The path that `recipe` gave, when it is still valid.
    pub fn realised(&self, recipe: &Sha256Digest) -> Result<Option<StorePath>, StoreError> {
        let registry = self.registry();
        let text: Option<String> = registry
            .statement(
                "select v.path from NexusRealisations r join ValidPaths v on v.id = r.path
                 where recipe = ?",
            )?
            .query_row([recipe.as_bytes()], |row| row.get(0))
            .optional()
            .map_err(registry.failed("read"))?;
        let path = text.map(|text| registry.store_path(&text)).transpose()?;
        Ok(path.filter(|path| self.is_present(path)))
    }

    /// [`Store::realised`] of each, in the same order.
    pub fn realised_many(
        &self,
        recipes: &[Sha256Digest],
    ) -> Result<Vec<Option<StorePath>>, StoreError> {
        recipes.iter().map(|recipe| self.realised(recipe)).collect()
    }

    /// Notes that the recipe with this text gave `path`, instead of what it gave before.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotValid`] when `path` is not in the store.
    pub fn record_realisation(
        &self,
        recipe: Sha256Digest,
        preimage: &str,
        path: &StorePath,
    ) -> Result<(), StoreError> {
        let preimage = preimage.to_owned();
        self.record_realisations(&[Realisation { recipe, preimage, path: path.clone() }])
    }

    /// Notes many realisations at once; all or none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotValid`] when one of the paths is not in the store.
    pub fn record_realisations(&self, realisations: &[Realisation]) -> Result<(), StoreError> {
        let mut registry = self.registry();
        let dir = registry.dir.clone();
        let missing = registry.change("write to", |transaction| {
            let mut find =
                transaction.prepare_cached("select id from ValidPaths where path = ?")?;
            let mut describe = transaction.prepare_cached(
                "insert or ignore into NexusRecipes (recipe, preimage) values (?, ?)",
            )?;
            let mut note = transaction.prepare_cached(
                "insert or replace into NexusRealisations (recipe, path) values (?, ?)",
            )?;
            let mut missing = Vec::new();
            for Realisation { recipe, preimage, path } in realisations {
                let id: Option<i64> =
                    find.query_row([dir.join(path)], |row| row.get(0)).optional()?;
                let Some(id) = id else {
                    missing.push(path.clone());
                    continue;
                };
                describe.execute(params![recipe.as_bytes(), preimage])?;
                note.execute(params![recipe.as_bytes(), id])?;
            }
            Ok(missing)
        })?;
        match missing.into_iter().next() {
            Some(path) => Err(StoreError::NotValid { path }),
            None => Ok(()),
        }
    }

    /// The text of a recipe that was recorded, also when its result has gone since.
    pub fn preimage(&self, recipe: &Sha256Digest) -> Result<Option<String>, StoreError> {
        let registry = self.registry();
        registry
            .statement("select preimage from NexusRecipes where recipe = ?")?
            .query_row([recipe.as_bytes()], |row| row.get(0))
            .optional()
            .map_err(registry.failed("read"))
    }

    /// The text of the recipe that gave `path` most recently.
    pub fn preimage_of(&self, path: &StorePath) -> Result<Option<String>, StoreError> {
        let registry = self.registry();
        registry
            .statement(
                "select preimage from ValidPaths v
                 join NexusRealisations r on r.path = v.id
                 join NexusRecipes n on n.recipe = r.recipe
                 where v.path = ? order by number desc limit 1",
            )?
            .query_row([registry.dir.join(path)], |row| row.get(0))
            .optional()
            .map_err(registry.failed("read"))
    }
}
