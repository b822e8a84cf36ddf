//! How a grid becomes lines within a width: as it is, divided into several, with its last column
//! wrapped, or as records. It never breaks apart.

use super::grid::{Align, Cell, GAP, Grid};
use super::text::{Line, Tone, fitted, width, wrapped};

/// Narrowest last column of text that is still worth wrapping.
const WRAPPED_MIN: usize = 18;
const RECORD_INDENT: usize = 2;

impl Grid {
    /// The table within so many columns: as it is, or divided, or without what is expendable, or with
    /// its last column wrapped, or as records.
    pub(super) fn lines(&self, columns: usize) -> Vec<Line> {
        if self.width() <= columns {
            return self.drawn(&self.widths());
        }
        if self.repeated > 0 {
            return self.divided(columns);
        }
        self.clone().narrowed(columns).folded(columns)
    }

    fn folded(&self, columns: usize) -> Vec<Line> {
        let mut widths = self.widths();
        let over = self.width().saturating_sub(columns);
        if over == 0 {
            return self.drawn(&widths);
        }
        let last = self.columns.last();
        let is_text = last.is_some_and(|column| column.align == Align::Left);
        match widths.last_mut() {
            Some(last) if is_text && *last >= over + WRAPPED_MIN => {
                *last -= over;
                self.drawn(&widths)
            }
            _ => self.records(columns),
        }
    }

    fn divided(&self, columns: usize) -> Vec<Line> {
        let widths = self.widths();
        let fixed: usize = widths[..self.repeated]
            .iter()
            .map(|width| width + GAP)
            .sum();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for (index, width) in widths.iter().enumerate().skip(self.repeated) {
            match groups.last_mut() {
                Some(group) if width + GAP <= room => group.push(index),
                _ => {
                    groups.push(vec![index]);
                    room = columns.saturating_sub(fixed) + GAP;
                }
            }
            room = room.saturating_sub(width + GAP);
        }
        let mut lines = Vec::new();
        for group in groups {
            if !lines.is_empty() {
                lines.push(Line::default());
            }
            let kept: Vec<usize> = (0..self.repeated).chain(group).collect();
            lines.extend(self.with_columns(&kept).folded(columns));
        }
        lines
    }

    fn with_columns(&self, kept: &[usize]) -> Self {
        let row = |row: &Vec<Cell>| {
            let cells = kept.iter().filter_map(|&index| row.get(index).cloned());
            cells.collect()
        };
        Self {
            columns: kept
                .iter()
                .map(|&index| self.columns[index].clone())
                .collect(),
            rows: self.rows.iter().map(row).collect(),
            repeated: 0,
        }
    }

    fn drawn(&self, widths: &[usize]) -> Vec<Line> {
        let height = self
            .columns
            .iter()
            .map(|column| column.title.lines().count());
        let height = height.max().unwrap_or(0);
        let title_line = |from_top: usize| {
            let cells = self.columns.iter().map(|column| {
                let titles: Vec<&str> = column.title.lines().collect();
                let above = height - titles.len();
                let text = from_top.checked_sub(above).map_or("", |at| titles[at]);
                Cell::of(Tone::Faint, text)
            });
            self.row(&cells.collect::<Vec<_>>(), widths)
        };
        let titles = (0..height).flat_map(title_line);
        let rows = self.rows.iter().flat_map(|row| match row.as_slice() {
            [heading] if self.columns.len() > 1 => vec![Line::of(heading.tone, &heading.text)],
            cells => self.row(cells, widths),
        });
        titles.chain(rows).collect()
    }

    /// One row; more than one line where its last cell is wrapped.
    fn row(&self, cells: &[Cell], widths: &[usize]) -> Vec<Line> {
        let last = cells.len().saturating_sub(1);
        let mut line = Line::default();
        let mut more = Vec::new();
        let mut indent = 0;
        for (index, ((cell, room), column)) in
            cells.iter().zip(widths).zip(&self.columns).enumerate()
        {
            let mut text = cell.text.clone();
            if index == last {
                let mut pieces = wrapped(&text, *room).into_iter();
                text = pieces.next().unwrap_or_default();
                let below = |piece| Line::plain(" ".repeat(indent)).and(cell.tone, piece);
                more.extend(pieces.map(below));
            }
            let padding = " ".repeat(room.saturating_sub(width(&text)));
            let gap = if index == last { "" } else { "  " };
            line = match column.align {
                Align::Left => line
                    .and(cell.tone, text)
                    .and(Tone::Plain, format!("{padding}{gap}")),
                Align::Right => line
                    .and(Tone::Plain, padding)
                    .and(cell.tone, text)
                    .and(Tone::Plain, gap),
            };
            indent += room + GAP;
        }
        std::iter::once(line).chain(more).collect()
    }

    /// One line per cell, below the row's first cell; cells without text are left out.
    fn records(&self, columns: usize) -> Vec<Line> {
        let titles: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.title.replace('\n', " "))
            .collect();
        let name_room = titles.iter().skip(1).map(|title| width(title)).max();
        let name_room = name_room.unwrap_or(0).min(columns / 2);
        let mut lines = Vec::new();
        for row in &self.rows {
            let Some((head, cells)) = row.split_first() else {
                continue;
            };
            lines.push(Line::of(Tone::Strong, fitted(&head.text, columns)));
            let filled = titles.iter().skip(1).zip(cells);
            for (title, cell) in filled.filter(|(_, cell)| !cell.text.is_empty()) {
                lines.extend(labelled(title, name_room, cell, columns, RECORD_INDENT));
            }
        }
        lines
    }
}

/// `label  text` behind so many spaces, the text wrapped beside its label; without labels the text
/// alone.
pub(super) fn labelled(
    label: &str,
    room: usize,
    cell: &Cell,
    columns: usize,
    indent: usize,
) -> Vec<Line> {
    let gap = if room == 0 { 0 } else { GAP };
    let before = indent + room + gap;
    let pieces = wrapped(&cell.text, columns.saturating_sub(before));
    let line = |(index, piece): (usize, String)| {
        let label = fitted(if index == 0 { label } else { "" }, room);
        let padding = " ".repeat(room - width(&label) + gap);
        let label = format!("{}{label}{padding}", " ".repeat(indent));
        let tone = match cell.tone {
            loud @ (Tone::Warn | Tone::Bad) => loud,
            _ => Tone::Faint,
        };
        Line::of(tone, label).and(cell.tone, piece)
    };
    pieces.into_iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::grid::{left, right};
    use super::super::text::joined;
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(vec![
            left("engine"),
            right("finished\nper s"),
            right("P50").expendable(1),
            left("limited by"),
        ]);
        grid.push(vec![
            "null".into(),
            "117,000".into(),
            "1".into(),
            "all cores".into(),
        ]);
        grid.push(vec![
            "lua-single-key".into(),
            "9".into(),
            "12".into(),
            "thread serving-0 of seckill".into(),
        ]);
        grid
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            joined(&grid().lines(80), false),
            "                finished\n\
             engine             per s  P50  limited by\n\
             null             117,000    1  all cores\n\
             lua-single-key         9   12  thread serving-0 of seckill\n"
        );
    }

    #[test]
    fn a_table_that_is_too_wide_wraps_its_text_then_becomes_records() {
        let wrapped = joined(&grid().lines(49), false);
        assert!(wrapped.contains("9  thread serving-0 of\n"), "{wrapped}");
        let records = joined(&grid().lines(36), false);
        assert!(
            records.starts_with("null\n  finished per s  117,000\n"),
            "{records}"
        );
        for text in [wrapped, records] {
            assert!(text.lines().all(|line| width(line) <= 52), "{text}");
        }
    }

    #[test]
    fn the_least_important_columns_go_first() {
        assert_eq!(grid().narrowed(50).columns.len(), 3);
        assert_eq!(grid().narrowed(80).columns.len(), 4);
        assert_eq!(grid().narrowed(1).columns.len(), 3);
    }
}
