//! The picture as text of another program.

use std::fmt::Write;

use crate::graph::{Node, State, short};

/// Returns a flowchart of Mermaid, which GitHub shows in Markdown.
pub(crate) fn mermaid(nodes: &[Node]) -> String {
    let mut out = "flowchart LR\n".to_owned();
    for node in nodes {
        let (id, state) = (short(&node.id), node.state.name());
        let end = if node.is_closed { "closed" } else { "open" };
        let _ = writeln!(out, "  s{id}[\"{id}<br/>{end}\"]:::{state}");
    }
    for (parent, child) in edges(nodes) {
        let _ = writeln!(out, "  s{parent} --> s{child}");
    }
    for state in State::ALL {
        let _ = writeln!(out, "  classDef {} fill:{}", state.name(), state.color());
    }
    out
}

/// Returns a graph of Graphviz.
pub(crate) fn dot(nodes: &[Node]) -> String {
    let mut out = "digraph shards {\n  rankdir=LR;\n  node [shape=box, style=filled];\n".to_owned();
    for node in nodes {
        let (id, color) = (short(&node.id), node.state.color());
        let border = if node.is_closed { "filled" } else { "filled,bold" };
        let _ = writeln!(out, "  \"{id}\" [fillcolor=\"{color}\", style=\"{border}\"];");
    }
    for (parent, child) in edges(nodes) {
        let _ = writeln!(out, "  \"{parent}\" -> \"{child}\";");
    }
    out + "}\n"
}

fn edges(nodes: &[Node]) -> impl Iterator<Item = (&str, &str)> {
    nodes.iter().flat_map(|node| node.parents.iter().map(|id| (short(id), short(&node.id))))
}

const COLUMN: f64 = 130.0;
const HEIGHT: f64 = 480.0;
const MARGIN: f64 = 30.0;

/// Returns a drawing: time from left to right, one generation in a column, and the hash keys from
/// top to bottom. A shard that is open reaches the right border.
pub(crate) fn svg(nodes: &[Node]) -> String {
    let columns = nodes.iter().map(|node| node.generation + 1).max().unwrap_or(1);
    #[expect(clippy::cast_precision_loss, reason = "few columns")]
    let x = |column: usize| MARGIN + COLUMN * column as f64;
    let (width, height) = (x(columns) + MARGIN, HEIGHT + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n"
    );
    for node in nodes {
        // A closed shard ends where its first child begins.
        let children = nodes.iter().filter(|child| child.parents.contains(&node.id));
        let first_child = children.map(|child| child.generation).min();
        let end = first_child.unwrap_or(if node.is_closed { node.generation + 1 } else { columns });
        let (left, right) = (x(node.generation), x(end));
        let top = MARGIN + node.range.0 * HEIGHT;
        let tall = (node.range.1 - node.range.0) * HEIGHT;
        let (color, state) = (node.state.color(), node.state.name());
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{tall}\" fill=\"{color}\" \
             stroke=\"#555\"><title>{}: {state}</title></rect>",
            right - left,
            node.id
        );
        let (text_x, text_y) = (left + 6.0, top + tall / 2.0 + 4.0);
        let _ = writeln!(out, "<text x=\"{text_x}\" y=\"{text_y}\">{}</text>", short(&node.id));
    }
    for (place, state) in (0_u8..).zip(State::ALL) {
        let left = MARGIN + 90.0 * f64::from(place);
        let (color, name, base) = (state.color(), state.name(), height - 8.0);
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{color}\" \
             stroke=\"#555\"/><text x=\"{}\" y=\"{base}\">{name}</text>",
            base - 10.0,
            left + 16.0
        );
    }
    out + "</svg>\n"
}
