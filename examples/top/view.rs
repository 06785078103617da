//! Draws the rows. The colours are those of the terminal, and none carries a meaning alone, so that
//! the view can be read on a light and on a dark background, and without colours.

use std::time::Duration;

use ratatui::buffer::{Buffer, Cell as Symbol};
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row as TableRow, Table, Widget};
use tokio::time::Instant;

use crate::model::{CatchUp, Model, Row, Sort, State};
use crate::units::{bytes, count, lag, span};

const KEYS: &str = "sort by [l]ag [r]ate [i]d  [↑↓] scroll  [q]uit";
/// The lines above the rows, the heads of the columns included, and those below them.
const ABOVE: u16 = 4;
const BELOW: u16 = 3;
const MAX_ID: usize = 32;
const MIN_ID: usize = 8;
const ALARM: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

pub(crate) struct View<'a> {
    pub(crate) stream: &'a str,
    pub(crate) model: &'a Model,
    pub(crate) now: Instant,
    pub(crate) sort: Sort,
    /// The number of rows above the first one that is drawn.
    pub(crate) skipped: usize,
    /// Whether the line of keys is shown.
    pub(crate) with_keys: bool,
}

/// A column next to the id.
#[derive(Clone, Copy)]
struct Column {
    head: &'static str,
    width: u16,
    is_right: bool,
    /// Whether the column is shown only with a lease table.
    of_lease: bool,
    sort: Option<Sort>,
    /// If the columns do not fit, the one with the greatest rank is left out first.
    rank: u8,
    cell: fn(&Row<'_>) -> String,
    style: fn(&Row<'_>) -> Style,
}

const COLUMNS: [Column; 9] = [
    Column::text("STATE", 9, 0, |row| state(row.state).to_owned()).styled(|row| match row.state {
        State::CaughtUp => Color::Green.into(),
        State::Retrying => ALARM,
        _ => Style::new(),
    }),
    Column::text("HELD BY", 16, 4, owner).of_lease(),
    Column::text("CHECKPOINT", 17, 7, checkpoint).of_lease(),
    Column::number("RECORDS/S", 9, 3, |row| of_read(row, row.records.to_string())),
    Column::number("BYTES/S", 8, 5, |row| of_read(row, bytes(row.bytes))).sorted_by(Sort::Rate),
    Column::number("OF LIMIT", 8, 2, load).styled(|row| alarm(row.is_hot)),
    Column::number("LAG", 6, 1, |row| row.lag.map_or_else(none, span)).sorted_by(Sort::Lag),
    Column::number("CATCH-UP", 8, 2, catch_up).styled(|row| alarm(row.catch_up == CatchUp::Never)),
    Column::number("RETRIES", 7, 6, |row| match row.retries {
        0 => none(),
        retries => retries.to_string(),
    }),
];

impl Column {
    const fn text(head: &'static str, width: u16, rank: u8, cell: fn(&Row<'_>) -> String) -> Self {
        let style = |_: &Row<'_>| Style::new();
        Self { head, width, is_right: false, of_lease: false, sort: None, rank, cell, style }
    }

    const fn number(
        head: &'static str,
        width: u16,
        rank: u8,
        cell: fn(&Row<'_>) -> String,
    ) -> Self {
        Self { is_right: true, ..Self::text(head, width, rank, cell) }
    }

    const fn of_lease(self) -> Self {
        Self { of_lease: true, ..self }
    }

    const fn sorted_by(self, sort: Sort) -> Self {
        Self { sort: Some(sort), ..self }
    }

    const fn styled(self, style: fn(&Row<'_>) -> Style) -> Self {
        Self { style, ..self }
    }

    fn line<'a>(&self, text: impl Into<Line<'a>>) -> Line<'a> {
        if self.is_right { text.into().right_aligned() } else { text.into() }
    }
}

impl View<'_> {
    /// Returns the view as lines of text, with all its rows.
    pub(crate) fn to_text(&self, width: u16) -> String {
        let rows = self.model.rows(self.now, self.sort).len();
        let height = u16::try_from(rows).unwrap_or(u16::MAX / 2) + ABOVE + BELOW;
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        self.render(buffer.area, &mut buffer);
        lines(&buffer).join("\n").trim_end().to_owned() + "\n"
    }

    /// Returns the number of rows that fit into a view of this height.
    pub(crate) fn page(height: u16) -> usize {
        usize::from(height.saturating_sub(ABOVE + BELOW)).max(1)
    }

    fn title(&self, rows: &[Row<'_>]) -> String {
        let sum = |of: fn(&Row<'_>) -> u64| rows.iter().map(of).sum::<u64>();
        format!(
            "{}: {}/s, {}/s, {}{}; {}",
            self.stream,
            count(sum(|row| row.records), "record", "records"),
            bytes(sum(|row| row.bytes)),
            lag(rows.iter().filter_map(|row| row.lag).max()),
            match slowest(rows) {
                CatchUp::Unknown => String::new(),
                CatchUp::In(time) => format!(", caught up in {}", whole(time)),
                CatchUp::Never => ", not shrinking".to_owned(),
            },
            count(self.model.errors, "error", "errors"),
        )
    }

    fn draw_rows(&self, rows: &[Row<'_>], area: Rect, buffer: &mut Buffer) {
        let longest = rows.iter().map(|row| row.id.chars().count()).max().unwrap_or(0);
        let id = longest.clamp(MIN_ID, MAX_ID);
        let columns = self.columns(area.width, id);
        let taken: u16 = columns.iter().map(|column| column.width + 1).sum();
        let id = id.min(usize::from(area.width.saturating_sub(taken)));
        let head = |name: &'static str, sort: Option<Sort>| {
            let is_sorted = sort == Some(self.sort);
            let sorted = if is_sorted { Modifier::UNDERLINED } else { Modifier::empty() };
            Line::styled(name, Style::new().add_modifier(Modifier::BOLD | sorted))
        };
        let heads = columns.iter().map(|it| Cell::from(it.line(head(it.head, it.sort))));
        let heads: Vec<_> =
            std::iter::once(Cell::from(head("SHARD", Some(Sort::Id)))).chain(heads).collect();
        // Rows may have gone since the last key.
        let room = usize::from(area.height.saturating_sub(1)).max(1);
        let skipped = self.skipped.min(rows.len().saturating_sub(room));
        let lines = rows.iter().skip(skipped).map(|row| {
            let cells = columns.iter().map(|column| {
                let text = shorten((column.cell)(row), column.width.into());
                Cell::from(column.line(text)).style((column.style)(row))
            });
            let id = Cell::from(short_id(row.id, id));
            TableRow::new(std::iter::once(id).chain(cells)).style(row_style(row))
        });
        let id = Constraint::Length(u16::try_from(id).unwrap_or(u16::MAX));
        let widths = columns.iter().map(|column| Constraint::Length(column.width));
        Table::new(lines, std::iter::once(id).chain(widths))
            .header(TableRow::new(heads))
            .render(area, buffer);
    }

    /// Returns the columns that find room next to the ids, which may be shortened.
    fn columns(&self, width: u16, id: usize) -> Vec<&'static Column> {
        let mut columns: Vec<_> =
            COLUMNS.iter().filter(|column| self.model.has_leases || !column.of_lease).collect();
        // An id keeps the digits that tell it from others.
        let id = id.min(MIN_ID + 4);
        while columns.iter().map(|it| usize::from(it.width) + 1).sum::<usize>() + id > width.into()
            && let Some(last) = (0..columns.len()).max_by_key(|index| columns[*index].rank)
            && columns.len() > 1
        {
            columns.remove(last);
        }
        columns
    }
}

impl Widget for &View<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let rows = self.model.rows(self.now, self.sort);
        let mut print = |y: u16, text: &str, style: Style| {
            if y < area.height {
                let text = shorten(text.to_owned(), area.width.into());
                buffer.set_string(area.x, area.y + y, text, style);
            }
        };
        print(0, &self.title(&rows), Modifier::BOLD.into());
        print(1, &states(&rows), Style::new());
        if let Some((at, error)) = &self.model.last_error {
            let text = format!("{} ago: {error}", whole(self.now - *at));
            print(area.height.saturating_sub(BELOW - 1), &text, Color::Red.into());
        }
        if self.with_keys {
            print(area.height.saturating_sub(1), KEYS, Modifier::DIM.into());
        }
        let below = area.height.saturating_sub(BELOW);
        let top = (ABOVE - 1).min(below);
        let area = Rect { y: area.y + top, height: below - top, ..area };
        self.draw_rows(&rows, area, buffer);
    }
}

/// Returns what is drawn as text.
fn lines(buffer: &Buffer) -> Vec<String> {
    let lines = buffer.content.chunks(usize::from(buffer.area.width).max(1));
    let text = lines.map(|line| line.iter().map(Symbol::symbol).collect::<String>());
    text.map(|line| line.trim_end().to_owned()).collect()
}

fn none() -> String {
    "-".to_owned()
}

fn of_read(row: &Row<'_>, rate: String) -> String {
    if row.state < State::Waiting { rate } else { none() }
}

fn state(state: State) -> &'static str {
    match state {
        State::Failed => "failed",
        State::Retrying => "retrying",
        State::Reading => "reading",
        State::CaughtUp => "caught up",
        State::Waiting => "waiting",
        State::Ended => "ended",
    }
}

/// Counts the shards in each state.
fn states(rows: &[Row<'_>]) -> String {
    const ALL: [State; 6] = [
        State::Reading,
        State::CaughtUp,
        State::Waiting,
        State::Ended,
        State::Retrying,
        State::Failed,
    ];
    let counts = ALL.iter().filter_map(|it| {
        let shards = rows.iter().filter(|row| row.state == *it).count();
        let parents = if *it == State::Waiting { " for parents" } else { "" };
        (shards > 0).then(|| format!("{shards} {}{parents}", state(*it)))
    });
    let counts: Vec<_> = counts.collect();
    if counts.is_empty() {
        return "no shard is read yet".to_owned();
    }
    format!("{}: {}", count(rows.len() as u64, "shard", "shards"), counts.join(", "))
}

/// Returns when the last of the shards will have caught up.
fn slowest(rows: &[Row<'_>]) -> CatchUp {
    rows.iter().map(|row| row.catch_up).fold(CatchUp::Unknown, |one, other| match (one, other) {
        (CatchUp::Never, _) | (_, CatchUp::Never) => CatchUp::Never,
        (CatchUp::In(one), CatchUp::In(other)) => CatchUp::In(one.max(other)),
        (CatchUp::Unknown, other) | (other, CatchUp::Unknown) => other,
    })
}

fn alarm(is_on: bool) -> Style {
    if is_on { ALARM } else { Style::new() }
}

fn owner(row: &Row<'_>) -> String {
    match row.lease {
        Some(lease) if !lease.has_ended() => {
            lease.owner.clone().unwrap_or_else(|| "nobody".to_owned())
        }
        _ => none(),
    }
}

fn load(row: &Row<'_>) -> String {
    match row.load {
        Some(load) if row.is_hot => format!("hot {load}%"),
        Some(load) => format!("{load}%"),
        None => none(),
    }
}

fn catch_up(row: &Row<'_>) -> String {
    match row.catch_up {
        CatchUp::Unknown => none(),
        CatchUp::In(time) => whole(time),
        CatchUp::Never => "never".to_owned(),
    }
}

/// Formats a checkpoint: its last digits, and when it moved.
fn checkpoint(row: &Row<'_>) -> String {
    let Some(lease) = row.lease else { return none() };
    match row.checkpoint_age {
        Some(age) => format!("{} {} ago", shorten_start(&lease.checkpoint, 9), whole(age)),
        None => shorten_start(&lease.checkpoint, 14),
    }
}

/// Formats a time without fractions of a second.
fn whole(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { span(time) }
}

/// Cuts off the end of a text, and says so.
fn shorten(text: String, width: usize) -> String {
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Shortens an id to what tells it from others.
fn short_id(id: &str, width: usize) -> String {
    if id.chars().count() <= width {
        return id.to_owned();
    }
    shorten_start(id.strip_prefix("shardId-").unwrap_or(id), width)
}

/// Cuts off the start of a text.
fn shorten_start(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(length + 1 - width.max(1))).collect()
}

fn row_style(row: &Row<'_>) -> Style {
    match row.state {
        State::Waiting | State::Ended => Modifier::DIM.into(),
        State::Failed => Color::Red.into(),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::model::{Event, Lease};

    const HOT: &str = "shardId-000000000000";
    const SLOW: &str = "shardId-000000000001";
    const CHILD: &str = "shardId-000000000002";

    /// Returns a model in which one shard is hot, another is behind, and its child waits.
    fn model(now: Instant) -> Model {
        let mut model = Model::default();
        let begun = now.checked_sub(Duration::from_secs(2)).unwrap();
        let page = |shard: &str, records, bytes, lag| {
            let lag = Some(Duration::from_secs(lag));
            Event::Page { shard: shard.to_owned(), records, bytes, lag }
        };
        for shard in [HOT, SLOW] {
            model.apply(Event::Opened { shard: shard.to_owned() }, begun);
        }
        let (shard, parents) = (CHILD.to_owned(), vec![SLOW.to_owned()]);
        model.apply(Event::Listed { shard, parents }, begun);
        let error = "throttled".to_owned();
        model.apply(Event::Retry { shard: SLOW.to_owned(), error }, begun);
        for (shard, bytes, lags) in [(HOT, 1_800_000, (0, 0)), (SLOW, 40_000, (90, 60))] {
            model.apply(page(shard, 1, 1, lags.0), begun);
            model.apply(page(shard, 9, bytes, lags.1), now);
        }
        model
    }

    /// Draws a model as a terminal of this size shows it.
    fn draw(model: &Model, now: Instant, sort: Sort, size: (u16, u16)) -> (Vec<String>, Buffer) {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        let view = View { stream: "orders", model, now, sort, skipped: 0, with_keys: true };
        terminal.draw(|frame| frame.render_widget(&view, frame.area())).unwrap();
        let buffer = terminal.backend().buffer().clone();
        (lines(&buffer), buffer)
    }

    #[test]
    fn every_column_is_aligned_and_what_needs_attention_is_marked() {
        let now = Instant::now();
        let (lines, buffer) = draw(&model(now), now, Sort::Lag, (90, 10));
        let expected = [
            "orders: 10 records/s, 920.0 kB/s, lag up to 1m00s, caught up in 4s; 1 error",
            "3 shards: 1 reading, 1 caught up, 1 waiting for parents",
            "",
            "SHARD                STATE     RECORDS/S  BYTES/S OF LIMIT    LAG CATCH-UP RETRIES",
            "shardId-000000000001 reading           5  20.0 kB       0%  1m00s       4s       1",
            "shardId-000000000000 caught up         5 900.0 kB  hot 90%    0ms        -       -",
            "shardId-000000000002 waiting           -        -        -      -        -       -",
            "",
            "2s ago: throttled",
            "sort by [l]ag [r]ate [i]d  [↑↓] scroll  [q]uit",
        ];
        assert_eq!(lines, expected);
        // The colours of the terminal alone.
        let hot = lines[5].find("hot").unwrap();
        assert_eq!(buffer[(u16::try_from(hot).unwrap(), 5)].style().fg, Some(Color::Red));
        assert_eq!(buffer[(21, 5)].style().fg, Some(Color::Green));
        assert_eq!(buffer[(0, 5)].style().fg, Some(Color::Reset));
        assert!(buffer[(0, 6)].modifier.contains(Modifier::DIM));
    }

    #[test]
    fn a_narrow_terminal_keeps_the_ends_of_ids_and_the_columns_that_matter() {
        let now = Instant::now();
        let mut model = model(now);
        let lease = Lease {
            shard: HOT.to_owned(),
            owner: Some("worker-on-a-host-with-a-long-name".to_owned()),
            checkpoint: "49590338271490256608559692538361571095921575989136588898".to_owned(),
        };
        model.apply(Event::Leases(vec![lease]), now);
        let (lines, _) = draw(&model, now, Sort::Id, (120, 10));
        let row = "shardId-000000000000 caught up worker-on-a-hos… …5989136588898 ";
        assert!(lines[4].starts_with(row), "{lines:#?}");
        assert!(lines[5].contains(" reading   -                -   "), "{lines:#?}");
        let (lines, _) = draw(&model, now, Sort::Id, (60, 10));
        assert_eq!(lines[3], "SHARD           STATE     RECORDS/S OF LIMIT    LAG CATCH-UP");
        assert_eq!(lines[4], "000000000000    caught up         5  hot 90%    0ms        -");
    }

    #[test]
    fn no_size_of_the_terminal_is_too_small() {
        let now = Instant::now();
        let model = model(now);
        for (width, height) in [(1, 1), (5, 3), (20, 4), (60, 2), (200, 50)] {
            draw(&model, now, Sort::Rate, (width, height));
        }
    }

    #[test]
    fn the_text_has_all_rows_and_no_keys() {
        let now = Instant::now();
        let model = model(now);
        let (stream, sort) = ("orders", Sort::Id);
        let view = View { stream, model: &model, now, sort, skipped: 9, with_keys: false };
        let text = view.to_text(90);
        assert_eq!(text.lines().count(), 9, "{text}");
        assert!(text.ends_with("ago: throttled\n"), "{text}");
    }
}
