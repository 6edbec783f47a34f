//! Looking at how the store is set up.

use super::{Error, Sessions, Warning};

impl Sessions {
    /// What may cost sessions some day, though the store answers now. The metric says it too.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn warnings(&self) -> Result<Vec<Warning>, Error> {
        let warnings = self.counted(self.store.warnings().await)?;
        self.metrics.store_warnings(warnings.iter().map(Warning::kind));
        Ok(warnings)
    }
}
