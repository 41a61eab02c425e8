//! Page after page of a list.
//!
//! What this is: the walk through all pages of an action that counts rows with `Offset` and `Limit`. What this is not:
//! the call, nor what its rows look like.

use crate::ended::Ended;

/// Rows of a page when all are wanted: the most that the API gives.
pub(crate) const PAGE: u32 = 1_000;

/// Some rows of a list.
pub(crate) struct Rows<T> {
    /// The rows.
    pub(crate) rows: Vec<T>,
    /// How many the whole list has.
    pub(crate) total: u64,
}

/// All rows of a list. `ask` gives the page that begins at a row.
///
/// # Errors
/// As `ask`.
pub(crate) async fn all<T>(ask: impl AsyncFn(u32) -> Result<Rows<T>, Ended>) -> Result<Rows<T>, Ended> {
    let mut all = Rows { rows: Vec::new(), total: 0 };
    loop {
        let offset = u32::try_from(all.rows.len()).unwrap_or(u32::MAX);
        let page = ask(offset).await?;
        all.total = page.total;
        // An empty page ends it too: rows may go away meanwhile.
        let ended = page.rows.is_empty();
        all.rows.extend(page.rows);
        if ended || all.rows.len() as u64 >= all.total {
            return Ok(all);
        }
    }
}
