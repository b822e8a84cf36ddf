//! A report as a list of blocks, independent of how it will look.

#[derive(Debug)]
pub(super) enum Block {
    Title(String),
    Heading(String),
    Paragraph(String),
    /// Something that a reader must not miss: an incomplete run, a weaker acknowledgement, a failed
    /// audit.
    Warning(String),
    List(Vec<String>),
    Table(Table),
}

#[derive(Debug)]
pub(super) struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub title: String,
    pub align: Align,
}

pub(super) fn left(title: &str) -> Column {
    Column {
        title: title.to_owned(),
        align: Align::Left,
    }
}

pub(super) fn right(title: &str) -> Column {
    Column {
        title: title.to_owned(),
        align: Align::Right,
    }
}
