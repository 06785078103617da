//! The terminal: keys come in, frames go out. It is restored however the program ends.

use std::io::stdout;
use std::thread;

use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::model::Sort;
use crate::view::View;

pub(crate) struct Screen {
    terminal: DefaultTerminal,
    keys: UnboundedReceiver<Key>,
}

/// What a key means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Quit,
    Sort(Sort),
    Up,
    Down,
    PageUp,
    PageDown,
    /// Nothing, but the terminal has changed, such as its size.
    Other,
}

impl Screen {
    pub(crate) fn open() -> Result<Self, String> {
        let opened = ratatui::try_init();
        let terminal = opened.map_err(|error| {
            format!("no view on this terminal, pass --once for plain text: {error}")
        })?;
        // The hook of ratatui restores the terminal and prints the panic. A panic that is caught,
        // such as that of a task, must not let the view go on over the message.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Dropping the terminal would show the cursor.
            let _ = execute!(stdout(), Show);
            hook(panic);
            std::process::exit(101);
        }));
        let (sender, keys) = unbounded_channel();
        // It blocks until the process ends.
        thread::spawn(move || {
            while let Ok(event) = event::read() {
                if sender.send(key(&event)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { terminal, keys })
    }

    pub(crate) fn draw(&mut self, view: &View<'_>) -> Result<(), String> {
        let drawn = self.terminal.draw(|frame| frame.render_widget(view, frame.area()));
        drawn.map(drop).map_err(|error| format!("cannot draw on the terminal: {error}"))
    }

    /// Returns how many rows find room.
    pub(crate) fn rows(&self) -> usize {
        self.terminal.size().map_or(1, |size| View::page(size.height))
    }

    /// Waits for a key. Without a keyboard, the program quits.
    pub(crate) async fn key(&mut self) -> Key {
        self.keys.recv().await.unwrap_or(Key::Quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn key(event: &Event) -> Key {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return Key::Other;
    };
    match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('l') => Key::Sort(Sort::Lag),
        KeyCode::Char('r') => Key::Sort(Sort::Rate),
        KeyCode::Char('i') => Key::Sort(Sort::Id),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => Key::Other,
    }
}
