//! Lists in pages that begin behind a row and not at a count: what comes in meanwhile moves nothing, and the last page is as quick as the first.

/// Which page of a list, newest first, is wanted; `K` is what its rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn<K> {
    /// The newest rows.
    #[default]
    Newest,
    /// The rows that follow this one.
    Older(K),
    /// The rows before this one.
    Newer(K),
}

/// One page, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// Whether there are rows before it.
    pub newer: bool,
    /// Whether there are rows after it.
    pub older: bool,
}

impl<K> Turn<K> {
    /// The row at which the page begins or ends.
    pub(super) fn edge(&self) -> Option<&K> {
        match self {
            Self::Newest => None,
            Self::Older(edge) | Self::Newer(edge) => Some(edge),
        }
    }

    /// Whether the rows are asked for oldest first, because the ones nearest to the edge are wanted.
    pub(super) fn is_upwards(&self) -> bool {
        matches!(self, Self::Newer(_))
    }

    /// A page of what was asked for in the direction of this turn, one row more than `size` if there is one.
    pub(super) fn page<T>(&self, mut rows: Vec<T>, size: usize) -> Page<T> {
        let more = rows.len() > size;
        rows.truncate(size);
        if self.is_upwards() {
            rows.reverse();
        }
        match self {
            Self::Newest => Page { rows, newer: false, older: more },
            Self::Older(_) => Page { rows, newer: true, older: more },
            Self::Newer(_) => Page { rows, newer: more, older: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_on_which_sides_there_is_more() {
        let page = |turn: Turn<i32>, rows: &[i32]| {
            let page = turn.page(rows.to_vec(), 2);
            (page.rows, page.newer, page.older)
        };
        assert_eq!(page(Turn::Newest, &[9, 8]), (vec![9, 8], false, false));
        assert_eq!(page(Turn::Newest, &[9, 8, 7]), (vec![9, 8], false, true));
        assert_eq!(page(Turn::Older(8), &[7, 6, 5]), (vec![7, 6], true, true));
        assert_eq!(page(Turn::Older(6), &[5]), (vec![5], true, false));
        assert_eq!(page(Turn::Newer(5), &[6, 7, 8]), (vec![7, 6], true, true));
        assert_eq!(page(Turn::Newer(7), &[8]), (vec![8], false, true));
    }
}
